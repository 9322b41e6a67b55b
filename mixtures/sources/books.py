"""Books as plain text, one document per file; what Project Gutenberg puts around a book is cut off."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path, PurePath
from typing import Final, Literal

from mixtures.sources.document import Document, Dropped, Item
from mixtures.sources.inputs import Accepted
from mixtures.sources.kind import Kind
from mixtures.sources.streams import Piece, Unreadable, cannot_go_on, decoded_text, open_unpacked, unpacked_name
from mixtures.sources.template import check_template, fill
from mixtures.strict import load

_START: Final = re.compile(
    r"(?mi)^[ \t]*\*{3}[ \t]*START OF (?:THE|THIS) PROJECT GUTENBERG E(?:BOOK|TEXT).*?\*{3}[ \t]*$"
)
_LONG_START: Final = re.compile(
    r"(?si)^[ \t]*\*{3}[ \t]*START OF (?:THE|THIS) PROJECT GUTENBERG.{0,400}?\*{3}", re.MULTILINE
)
_OLD_START: Final = re.compile(r"(?mi)^[ \t]*\*END[ \t*]*THE SMALL PRINT.*$")
_END: Final = re.compile(
    r"(?mi)^[ \t]*(?:\*{3}[ \t]*END OF (?:THE|THIS) PROJECT GUTENBERG.*|End of (?:the )?Project Gutenberg(?:'s)? .*)$"
)
_FIELD: Final = re.compile(r"(?m)^[ \t]*(Title|Author|Language|Release Date)[ \t]*:[ \t]*(.+(?:\n[ \t]+\S.*)*)$")
_NUMBER: Final = re.compile(r"(?i)(?:e-?book|e-?text)[ \t]*#?[ \t]*(\d+)")
_CREDIT: Final = re.compile(
    r"(?i)\A(?:\s*(?:produced by|e-?text prepared by|transcribed (?:from|by))[^\n]*(?:\n[^\n]+)*\n)"
)
_COPYRIGHTED: Final = re.compile(
    r"(?i)\bthis is a copyrighted project gutenberg|copyrighted\.\s+read the copyright notice"
)
_HEADER_CHARS: Final = 20_000


@dataclass(frozen=True, kw_only=True)
class BookOptions:
    """What is taken of books; see mixtures/recipes/sources/books.yaml."""

    source: str | None
    licence: str | None
    gutenberg_licence: str | None
    copyrighted: Literal["keep", "drop"]
    language: str | None
    document: str
    min_chars: int
    max_bytes: int

    def __post_init__(self) -> None:
        check_template("document", self.document, {"title", "author", "text"}, needed={"text"})


@dataclass(frozen=True, kw_only=True)
class Book:
    """A book without what stood around it; what the header says is empty where there was none."""

    text: str
    title: str = ""
    author: str = ""
    language: str = ""
    number: str = ""
    is_gutenberg: bool = False
    is_copyrighted: bool = False


@dataclass(frozen=True, kw_only=True)
class _LanguageNames:
    names: dict[str, str]


def read(piece: Piece, options: BookOptions) -> Iterator[Item]:
    """The document of a file, or why there is none."""
    try:
        with open_unpacked(piece.path) as stream:
            content = stream.read(options.max_bytes + 1)
    except Unreadable as error:
        yield cannot_go_on(piece, 0, error)
        return
    if len(content) > options.max_bytes:
        yield Dropped(reason="larger than max_bytes")
    elif b"\0" in content:
        yield Dropped(reason="not a text", place=piece.source.name, damaged=True)
    else:
        yield document(decoded_text(content), piece.source.name, options)


def document(text: str, name: str, options: BookOptions) -> Document | Dropped:
    """The document of a file called `name`."""
    book = parse_book(text)
    if book.is_copyrighted and options.copyrighted == "drop":
        return Dropped(reason="under copyright")
    if len(book.text) < options.min_chars:
        return Dropped(reason="shorter than min_chars")
    stem = PurePath(unpacked_name(name)).stem
    title = book.title or ("" if book.is_gutenberg else stem)
    filled = fill(options.document, title=book.title, author=book.author, text=book.text)
    source = options.source or ("gutenberg" if book.is_gutenberg else "books")
    return Document(
        key=(source, book.number or name),
        text=re.sub(r"\n{4,}", "\n\n\n", filled).strip(),
        source=source,
        url=f"https://www.gutenberg.org/ebooks/{book.number}" if book.number else "",
        title=title or None,
        licence=options.gutenberg_licence if book.is_gutenberg else options.licence,
        language=options.language or _language_codes().get(book.language.lower()),
    )


def parse_book(text: str) -> Book:
    """What is the book's own in a file, and what Project Gutenberg's header says of it, where there is one."""
    start = _START.search(text) or _LONG_START.search(text) or _OLD_START.search(text[: 4 * _HEADER_CHARS])
    end = _END.search(text, start.end() if start else 0)
    body = text[start.end() if start else 0 : end.start() if end else None]
    if not start and not (end and "project gutenberg" in text[:_HEADER_CHARS].lower()):
        return Book(text=text.strip())
    header = text[: min(start.end(), _HEADER_CHARS)] if start else text[:2000]
    said = {name: " ".join(value.split()) for name, value in reversed(_FIELD.findall(header))}
    number = _NUMBER.search(header)
    return Book(
        text=_CREDIT.sub("", body.strip("\n") + "\n").strip(),
        title=said.get("Title", ""),
        author=said.get("Author", ""),
        language=said.get("Language", ""),
        number=number[1] if number else "",
        is_gutenberg=True,
        is_copyrighted=_COPYRIGHTED.search(header) is not None,
    )


@functools.cache
def _language_codes() -> dict[str, str]:
    path = resources.files("mixtures") / "sources" / "data" / "language_names.yaml"
    return load(_LanguageNames, Path(str(path))).names


KIND: Final = Kind(
    name="books",
    options=BookOptions,
    accepted=Accepted(
        pattern=r"\.(txt|text)(\.(gz|bz2|xz|zst))?$", said=".txt, plain or packed as .gz, .bz2, .xz or .zst"
    ),
    documents=read,
)
