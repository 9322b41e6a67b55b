"""Articles of an encyclopedia as plain text: WikiExtractor's files, or rows with a title and a text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mixtures.errors import InputError
from mixtures.sources.document import Document, Dropped, Item
from mixtures.sources.inputs import Accepted, Source
from mixtures.sources.kind import Kind
from mixtures.sources.rows import PATTERN, Row, column_names, rows, splits
from mixtures.sources.streams import Piece, Unreadable, cannot_go_on, open_unpacked
from mixtures.sources.template import check_template, fill

_OPEN: Final = re.compile(r"<doc\s+([^>]*)>\s*")
_ATTRIBUTE: Final = re.compile(r'(\w+)="([^"]*)"')
_WIKIPEDIA: Final = re.compile(r"https?://(([a-z]{2,3})(?:\.m)?\.wikipedia\.org)/")
_HOST: Final = re.compile(r"https?://([^/?#]+)")
_MAX_ARTICLE_CHARS: Final = 16 << 20


@dataclass(frozen=True, kw_only=True)
class EncyclopediaOptions:
    """What is taken of articles; see mixtures/recipes/sources/encyclopedia.yaml."""

    source: str | None
    licence: str | None
    language: str | None
    document: str
    min_chars: int

    def __post_init__(self) -> None:
        check_template("document", self.document, {"title", "text"}, needed={"text"})


def check(sources: Sequence[Source], _options: EncyclopediaOptions) -> None:
    """Raise InputError for rows without a text."""
    for source in sources:
        names = column_names(source) if _has_rows(source) else []
        if names and "text" not in names:
            raise InputError(f"{source.path}: no column 'text'; it has {', '.join(names)}")


def read(piece: Piece, options: EncyclopediaOptions) -> Iterator[Item]:
    """The documents of an input."""
    if _has_rows(piece.source):
        yield from documents(rows(piece, {"id", "url", "title", "text", "revid"}), options)
        return
    with open_unpacked(piece.path) as stream:
        try:
            yield from documents(articles((line.decode("utf-8", "replace") for line in stream), piece), options)
        except Unreadable as error:
            yield cannot_go_on(piece, piece.start, error)


def articles(lines: Iterable[str], piece: Piece) -> Iterator[Row | Dropped]:
    """The articles of WikiExtractor's lines; an article that the next one interrupts is damaged."""
    said: dict[str, Any] | None = None
    text: list[str] = []
    n_chars = 0
    outside = False
    for number, line in enumerate(lines, 1):
        place = f"{piece.source.name}, line {number}"
        if found := _OPEN.fullmatch(line):
            if said is not None:
                yield Dropped(reason="article without its end", place=said["place"], damaged=True)
            said = {name: html.unescape(value) for name, value in _ATTRIBUTE.findall(found[1])} | {"place": place}
            text, n_chars, outside = [], 0, False
        elif line.strip() == "</doc>" and said is not None:
            yield Row(said["place"], {**said, "text": "".join(text)})
            said = None
        elif said is not None:
            text.append(line)
            n_chars += len(line)
            if n_chars > _MAX_ARTICLE_CHARS:
                yield Dropped(reason="article without its end", place=said["place"], damaged=True)
                said, outside = None, True
        elif line.strip() and not outside:
            yield Dropped(reason="text outside of articles", place=place, damaged=True)
            outside = True
    if said is not None:
        yield Dropped(reason="article without its end", place=said["place"], damaged=True)


def documents(found: Iterable[Row | Dropped], options: EncyclopediaOptions) -> Iterator[Item]:
    """One document, or the reason against it, per article."""
    for row in found:
        yield row if isinstance(row, Dropped) else _document(row, options)


def _document(row: Row, options: EncyclopediaOptions) -> Document | Dropped:
    text = row.values.get("text")
    if not isinstance(text, str):
        return Dropped(reason="no text", place=row.place, damaged=True)
    title, url = (str(row.values.get(name) or "").strip() for name in ("title", "url"))
    body = re.sub(r"\n{3,}", "\n\n", text.replace("\r\n", "\n").strip())
    first, _, rest = body.partition("\n")
    if title and first.strip() == title:  # WikiExtractor puts it there
        body = rest.strip()
    if not body:
        return Dropped(reason="empty article")
    if len(body) < options.min_chars:
        return Dropped(reason="shorter than min_chars")
    wikipedia, host = _WIKIPEDIA.match(url), _HOST.match(url)
    source = options.source or (wikipedia[1] if wikipedia else host[1] if host else "encyclopedia")
    return Document(
        key=(source, str(row.values.get("id") or title or row.place)),
        text=fill(options.document, title=title, text=body).strip(),
        source=source,
        url=url,
        title=title or None,
        licence=options.licence,
        language=options.language or _language(wikipedia[2] if wikipedia else ""),
    )


def _language(code: str) -> str | None:
    """ISO 639-1 has two letters; a Wikipedia with three has none."""
    return code if len(code) == 2 else None


def _has_rows(source: Source) -> bool:
    return re.search(PATTERN, source.path) is not None or _looks_like_json(source)


def _looks_like_json(source: Source) -> bool:
    """WikiExtractor gives its JSON lines no ending."""
    try:
        with open_unpacked(Piece(source=source).path) as stream:
            return stream.read(1) == b"{"
    except Unreadable:
        return False


def _splits(source: Source) -> bool:
    return _has_rows(source) and splits(source)


KIND: Final = Kind(
    name="encyclopedia",
    options=EncyclopediaOptions,
    accepted=Accepted(
        pattern=PATTERN + r"|^wiki_\d+(\.(gz|bz2|xz|zst))?$|\.(txt|doc|json)(\.(gz|bz2|xz|zst))?$",
        said="WikiExtractor's files (wiki_00 and on), .txt with <doc …> elements, .parquet or .jsonl, also packed",
    ),
    splits=_splits,
    check=check,
    documents=read,
)
