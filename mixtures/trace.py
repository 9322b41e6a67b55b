"""Lineage: which documents stand at some positions of the training, and at which positions a document stands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import PurePosixPath

from mixtures.columns import columns_path, read_row
from mixtures.document_index import UrlKey
from mixtures.run import RunPart
from mixtures.stream import Stream

SameUrl = Callable[[str, str], bool]


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a document came from, as far as its source said so."""

    url: str | None = None
    warc_path: str | None = None
    warc_offset: int | None = None
    warc_length: int | None = None
    source: str | None = None
    licence: str | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What some sequences hold of one document."""

    id: str
    component: str
    file: str
    """The token file that holds it, relative to the token root."""
    document: int
    """Its number in that file."""
    positions: tuple[int, ...]
    tokens: int
    """Its tokens, over all these sequences, each of which has as many as its context and one more."""
    share: float
    """Of all tokens of these sequences, padding included."""
    origin: Origin


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """Where in the training one document is seen."""

    id: str
    component: str
    file: str
    document: int
    positions: tuple[int, ...]
    """Empty where it is held out, does not meet the component's conditions, or falls into a window not drawn."""
    origin: Origin


def documents_at(stream: Stream, positions: Iterable[int]) -> list[Seen]:
    """All documents of the sequences at `positions`, those with most tokens first. Raises TokenFileError."""
    found: dict[tuple[str, str, int], list[tuple[int, RunPart]]] = {}
    n_tokens = 0
    for position in positions:
        slot = stream.schedule.at(position)
        n_tokens += slot.context + 1
        for part in stream.documents(position):
            found.setdefault((slot.component, part.file, part.part.document), []).append((position, part))
    seen = [_seen(stream, *key, parts, n_tokens) for key, parts in found.items()]
    return sorted(seen, key=lambda document: (-document.tokens, document.component, document.file, document.document))


def sightings(stream: Stream, url: str, url_key: UrlKey, same: SameUrl) -> Iterator[Sighting]:
    """Every document with that URL, and where it is seen. Raises TokenFileError.

    `url_key` is the one that the tokens were made with; `same` says whether two spellings mean one page.
    """
    key = url_key(url)
    if key is None:
        return
    for component, file in stream.files():
        for document in stream.documents_with_url(file, key):
            origin = _origin(stream, file, document)
            if origin.url is not None and same(origin.url, url):
                positions = stream.positions(component, file, *stream.span_of(file, document))
                yield Sighting(
                    id=stream.id_of(file, document),
                    component=component,
                    file=file,
                    document=document,
                    positions=tuple(positions),
                    origin=origin,
                )


def _seen(
    stream: Stream, component: str, file: str, document: int, parts: list[tuple[int, RunPart]], n_tokens: int
) -> Seen:
    tokens = sum(part.end - part.first for _, part in parts)
    return Seen(
        id=parts[0][1].part.id,
        component=component,
        file=file,
        document=document,
        positions=tuple(position for position, _ in parts),
        tokens=tokens,
        share=tokens / n_tokens,
        origin=_origin(stream, file, document),
    )


def _origin(stream: Stream, file: str, document: int) -> Origin:
    row = read_row(stream.local(columns_path(PurePosixPath(file)).as_posix()), document)
    return Origin(**{field.name: row.get(field.name) for field in fields(Origin)})
