r"""Papers of arXiv in LaTeX, one document per paper.

Inputs are the tar files that arXiv gives out (each member a paper: a gzip of a tar of files, or of one file), sources
of single papers, and folders: one with .tex files in it is a paper, or, where files bear arXiv's numbers, one per file.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, Final, Literal, cast

from mixtures.sources.document import Document, Dropped, Item, Noted
from mixtures.sources.inputs import Accepted
from mixtures.sources.kind import Kind
from mixtures.sources.latex_macros import Macro, expand, group_end, split_definitions
from mixtures.sources.latex_project import LatexError, decoded, joined, main_file
from mixtures.sources.latex_text import latex_text, theorem_names
from mixtures.sources.streams import Piece, Unreadable, cannot_go_on, open_unpacked, unpacked
from mixtures.sources.template import check_template, fill

_TEX: Final = (".tex", ".ltx", ".latex")
_NEW_NUMBER: Final = re.compile(r"\d{4}\.\d{4,5}(v\d+)?")
_OLD_NUMBER: Final = re.compile(r"([a-z-]+)(?:\.[A-Z]{2})?(\d{7})(v\d+)?")
_TITLE: Final = re.compile(r"\\(?:title|icmltitle|Title)\s*(?:\[[^\]]{0,2000}\])?\s*(?=\{)")
_END: Final = re.compile(r"\\end\s*\{document\}|\\begin\s*\{thebibliography\}|\\(?:bibliography|printbibliography)\b")

Files = dict[str, bytes]


@dataclass(frozen=True, kw_only=True)
class ArxivOptions:
    """What is taken of papers; see mixtures/recipes/sources/arxiv.yaml."""

    licence: str | None
    language: str | None
    document: str
    references: Literal["keep", "drop"]
    citations: Literal["keep", "drop"]
    captions: Literal["keep", "drop"]
    min_chars: int
    max_bytes: int
    max_paper_bytes: int

    def __post_init__(self) -> None:
        check_template("document", self.document, {"title", "text"}, needed={"text"})


@dataclass(frozen=True, kw_only=True)
class Paper:
    """A paper's name and its LaTeX files, by their names."""

    name: str
    files: Files


def read(piece: Piece, options: ArxivOptions) -> Iterator[Item]:
    """The documents of an input."""
    for paper in papers(piece, options.max_paper_bytes):
        if isinstance(paper, Dropped):
            yield paper
        else:
            yield from documents(paper, options)


def papers(piece: Piece, max_bytes: int) -> Iterator[Paper | Dropped]:
    """The papers of an input; damage is told, never raised."""
    if piece.path.is_dir():
        yield from _folder(piece.path)
        return
    if piece.path.suffix == ".tar":
        yield from _archive(piece, max_bytes)
        return
    try:
        with open_unpacked(piece.path) as stream:
            yield _unpacked(_stem(piece.path.name), stream, max_bytes)
    except Unreadable as error:
        yield cannot_go_on(piece, 0, error)


def documents(paper: Paper, options: ArxivOptions) -> Iterator[Item]:
    """The document of a paper, or why there is none."""
    files = {name: decoded(content) for name, content in sorted(paper.files.items())}
    try:
        main = main_file(files)
        if main is None:
            yield Dropped(reason="no LaTeX document")
            return
        title, text, n_lost = paper_text(files, main, options)
    except Exception as error:  # of a thousand papers in a file one must not cost the others
        reason = str(error) if isinstance(error, LatexError) else f"error: {type(error).__name__}"
        yield Dropped(reason=reason, place=paper.name, damaged=True)
        return
    if n_lost:
        yield Noted(what="section left out of a paper (it cannot be read)", records=n_lost)
    if len(text) < options.min_chars:
        yield Dropped(reason="shorter than min_chars")
        return
    number, url = _number(paper.name)
    whole = fill(options.document, title=title, text=text) if title else text
    yield Document(
        key=(number,),
        text=whole.strip(),
        source="arxiv",
        url=url,
        title=title or None,
        licence=options.licence,
        language=options.language,
    )


def paper_text(files: Mapping[str, str], main: str, options: ArxivOptions) -> tuple[str, str, int]:
    """Title and text of the paper that begins in `main`, and the number of sections lost. Raises LatexError."""
    project = joined(files, main, max_bytes=options.max_bytes)
    source, macros = split_definitions(project.text)
    source, theorems = theorem_names(source)
    preamble, begun, body = source.partition(r"\begin{document}")
    if not begun:
        raise LatexError("no \\begin{document}")
    if end := _END.search(body):
        body = body[: end.start()] + _appendix(body[end.end() :])
    chosen = {"references": options.references, "citations": options.citations, "figures": options.captions}
    keep = [name for name, choice in chosen.items() if choice == "keep"]
    title = _title(body, macros) or _title(preamble, macros)
    found = latex_text(expand(body, macros), code=project.code, theorems=theorems, keep=keep)
    return title, found.text, found.n_lost


def _appendix(after: str) -> str:
    """What follows the bibliography, where sections follow it."""
    listed = re.search(r"\\end\s*\{thebibliography\}", after)
    rest = after[listed.end() :] if listed else after
    begin = re.search(r"\\appendix\b|\\begin\s*\{appendi(?:x|ces)\}|\\(?:section|chapter)\b", rest)
    end = re.search(r"\\end\s*\{document\}", rest)
    return (
        rest[begin.start() : end.start() if end else None] if begin and (not end or begin.start() < end.start()) else ""
    )


def _title(source: str, macros: dict[str, Macro]) -> str:
    found = _TITLE.search(source)
    end = group_end(source, found.end()) if found else None
    if not found or end is None:
        return ""
    try:
        return " ".join(latex_text(expand(source[found.end() + 1 : end - 1], macros)).text.split())
    except LatexError:
        return ""


def _archive(piece: Piece, max_bytes: int) -> Iterator[Paper | Dropped]:
    loose: Files = {}
    others: Counter[str] = Counter()
    try:
        with piece.path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    continue
                name = _whole(member.name)
                ending = PurePosixPath(name).suffix.lower()
                if ending == ".gz":
                    yield _packed(_stem(name), content, max_bytes)
                elif ending not in _TEX:
                    others["only a PDF" if ending == ".pdf" else "neither LaTeX nor a PDF"] += 1
                elif member.size <= max_bytes:
                    loose[name] = content.read()
                else:
                    yield Dropped(reason="paper larger than max_paper_bytes", place=name, damaged=True)
    except (tarfile.TarError, *Unreadable) as error:
        yield cannot_go_on(piece, 0, error)
    loose = _in_one_folder(loose)
    yield from _loose(_stem(piece.path.name), loose)
    if not loose or _numbered(loose):  # else these are the paper's own: figures, styles
        for reason, records in sorted(others.items()):
            yield Dropped(reason=reason, records=records)


def _packed(name: str, content: IO[bytes], max_bytes: int) -> Paper | Dropped:
    try:
        return _unpacked(name, unpacked(cast(BinaryIO, content), ".gz"), max_bytes)
    except (EOFError, OSError, zlib.error):
        return Dropped(reason="damaged paper", place=name, damaged=True)


def _unpacked(name: str, stream: IO[bytes], max_bytes: int) -> Paper | Dropped:
    """A paper out of a stream that holds a tar, or one file."""
    content = stream.read(max_bytes + 1)
    if len(content) > max_bytes:
        return Dropped(reason="paper larger than max_paper_bytes", place=name, damaged=True)
    if not _is_tar(content):
        return Paper(name=name, files={f"{name.rpartition('/')[2]}.tex": content})
    files: Files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive:
                file = archive.extractfile(member) if member.isfile() and _may_be_tex(member.name) else None
                if file is not None:
                    files[_whole(member.name).lstrip("/").removeprefix("./")] = file.read()
    except (tarfile.TarError, *Unreadable):
        return Dropped(reason="damaged paper", place=name, damaged=True)
    return Paper(name=name, files=files)


def _is_tar(content: bytes) -> bool:
    """By the checksum of its first header: the oldest tars have no magic bytes."""
    try:
        tarfile.TarInfo.frombuf(content[: tarfile.BLOCKSIZE], tarfile.ENCODING, "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def _folder(folder: Path) -> Iterator[Paper]:
    found = sorted(file for file in folder.rglob("*") if file.suffix.lower() in _TEX and file.is_file())
    yield from _loose(folder.name, {_whole(file.relative_to(folder).as_posix()): file.read_bytes() for file in found})


def _loose(name: str, files: Files) -> Iterator[Paper]:
    """The papers of files that lie together: one for each that bears arXiv's number, else one called `name`."""
    numbered = _numbered(files)
    rest = {file: content for file, content in files.items() if file not in numbered}
    for file in numbered:
        yield Paper(name=PurePosixPath(file).stem, files={**rest, file: files[file]})
    if rest and not numbered:
        yield Paper(name=name, files=rest)


def _numbered(files: Iterable[str]) -> list[str]:
    return [name for name in files if "/" not in name and _is_number(PurePosixPath(name).stem)]


def _in_one_folder(files: Files) -> Files:
    """The files by their names below the folder that all lie in."""
    folder = os.path.commonpath([PurePosixPath(name).parent for name in files]) if files else ""
    return {PurePosixPath(name).relative_to(folder).as_posix(): content for name, content in files.items()}


def _may_be_tex(name: str) -> bool:
    """Older papers have files without an ending, too."""
    return PurePosixPath(name).suffix.lower() in ("", *_TEX)


def _is_paper(folder: Path) -> bool:
    return any(file.suffix.lower() in _TEX for file in folder.iterdir() if file.is_file())


def _number(name: str) -> tuple[str, str]:
    """A paper's number with arXiv, and its address; a name that is none is its own number."""
    if found := _OLD_NUMBER.fullmatch(name):
        name = f"{found[1]}/{found[2]}{found[3] or ''}"
        return name, f"https://arxiv.org/abs/{name}"
    return name, f"https://arxiv.org/abs/{name}" if _NEW_NUMBER.fullmatch(name) else ""


def _is_number(name: str) -> bool:
    return bool(_NEW_NUMBER.fullmatch(name) or _OLD_NUMBER.fullmatch(name))


def _stem(name: str) -> str:
    return re.sub(r"(\.(tar|tgz|gz|tex))+$", "", PurePosixPath(name).name)


def _whole(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


KIND: Final = Kind(
    name="arxiv",
    options=ArxivOptions,
    accepted=Accepted(
        pattern=r"\.(tar|tar\.gz|tgz|gz|tex)$",
        said="arXiv_src_….tar, the source of a paper (.tar.gz, .gz, .tex), or a folder with .tex files",
        folder=_is_paper,
        in_folder=r"^arXiv_src_.*\.tar$",
    ),
    libraries=("pylatexenc",),
    documents=read,
)
