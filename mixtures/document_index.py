"""The document index of a token file: which documents it holds, where, and what of them the loss passes over.

part-00000.documents   the header of `part-00000.tokens`, then, little-endian, n = documents, k = urls:
                       uint64 [n]  where each document starts, in tokens
                       uint64 [n]  where its id ends, in bytes of the ids
                       uint64 [k]  keys of URLs, ascending
                       uint32 [n]  how many of its first tokens the loss passes over
                       uint32 [k]  the document that each of the keys belongs to
                       all ids, one after another, in UTF-8
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path, PurePath
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from mixtures.errors import TokenFileError
from mixtures.tokens import HEADER, MEND, Header, mapped

P = TypeVar("P", bound=PurePath)
UrlKey = Callable[[str], int | None]
"""64 bits by which a URL is found again; None for what is no URL."""


def url_key(url: str) -> int | None:
    """The key of a URL as it is written."""
    return int.from_bytes(blake2b(url.encode(), digest_size=8).digest(), "big") if url else None


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a range of tokens holds of one document."""

    document: int
    """Number of the document in its file."""
    id: str
    first: int
    end: int
    """Tokens `first` up to, not including, `end`."""
    learned_from: int
    """The document's first token that the loss counts; may lie before `first`, or beyond `end`."""


@dataclass(frozen=True, kw_only=True)
class Documents:
    """An open index; nothing is in memory until it is touched."""

    starts: npt.NDArray[np.uint64]
    """[documents], in tokens; document d holds the tokens from `starts[d]` up to the next start."""
    skipped: npt.NDArray[np.uint32]
    """[documents], in tokens."""
    id_ends: npt.NDArray[np.uint64]
    """[documents], in bytes of `id_bytes`."""
    id_bytes: npt.NDArray[np.uint8]
    url_keys: npt.NDArray[np.uint64]
    """[urls], ascending."""
    url_documents: npt.NDArray[np.uint32]
    """[urls]."""
    tokens: int
    """Tokens in all."""

    def __len__(self) -> int:
        return len(self.starts)

    def id(self, document: int) -> str:
        """The id of document number `document`."""
        first = int(self.id_ends[document - 1]) if document else 0
        return self.id_bytes[first : int(self.id_ends[document])].tobytes().decode()

    def at(self, token: int) -> int:
        """Number of the document that holds the token at `token`."""
        return int(np.searchsorted(self.starts, token, side="right")) - 1

    def span(self, document: int) -> tuple[int, int]:
        """First token of document number `document`, and the first one after it."""
        following = document + 1
        return int(self.starts[document]), int(self.starts[following]) if following < len(self) else self.tokens

    def between(self, first: int, end: int) -> Iterator[Part]:
        """The documents that hold tokens from `first` up to `end`, cut to that range."""
        for number in range(self.at(first), len(self)):
            start, stop = self.span(number)
            if start >= end:
                break
            yield Part(
                document=number,
                id=self.id(number),
                first=max(start, first),
                end=min(stop, end),
                learned_from=start + int(self.skipped[number]),
            )

    def with_url_key(self, key: int) -> list[int]:
        """Numbers of the documents whose URL has that key, ascending."""
        wanted = np.uint64(key)
        first, end = (int(np.searchsorted(self.url_keys, wanted, side=side)) for side in ("left", "right"))
        return sorted(self.url_documents[first:end].tolist())


@dataclass(kw_only=True)
class IndexDraft:
    """An index while its shard is being written, one document after another."""

    starts: list[int] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)
    urls: list[tuple[int, int]] = field(default_factory=list)
    """Key and document."""
    n_tokens: int = 0

    def add(self, document_id: str, n_tokens: int, *, skipped: int = 0, url: int | None = None) -> None:
        """Add a document of `n_tokens`, the end-of-document token included."""
        if url is not None:
            self.urls.append((url, len(self.ids)))
        self.starts.append(self.n_tokens)
        self.ids.append(document_id)
        self.skipped.append(skipped)
        self.n_tokens += n_tokens

    def pack(self, header: Header) -> Iterator[bytes]:
        """The content of the index, piece by piece."""
        encoded = [document_id.encode() for document_id in self.ids]
        urls = np.array(sorted(self.urls), np.dtype("<u8")).reshape(-1, 2)
        yield header.pack()
        yield np.array(self.starts, "<u8").tobytes()
        yield np.cumsum([len(document_id) for document_id in encoded], dtype="<u8").tobytes()
        yield urls[:, 0].tobytes()
        yield np.array(self.skipped, "<u4").tobytes()
        yield urls[:, 1].astype("<u4").tobytes()
        yield b"".join(encoded)


def documents_path(tokens: P) -> P:
    """The document index of the token file `tokens`."""
    return tokens.with_suffix(".documents")


def open_documents(tokens: Path, header: Header) -> Documents:
    """Map the document index of the token file `tokens`, whose header is `header`. Raises TokenFileError."""
    path = documents_path(tokens)
    if not path.is_file():
        raise TokenFileError(f"{path}: no such document index; {MEND}")
    return open_index(path, header, shown=str(path))


def open_index(path: Path, header: Header, *, shown: str) -> Documents:
    """Map the document index at `path`, called `shown` in messages, of the token file whose header is `header`.

    Raises TokenFileError.
    """
    with path.open("rb") as file:
        head, size = file.read(HEADER.itemsize), path.stat().st_size
        file.seek(last_id_end_at(header))
        check_index(header, head, file.read(8), size, shown=shown)
    n, k = header.documents, header.urls
    sections = {"starts": ("<u8", n), "id_ends": ("<u8", n), "url_keys": ("<u8", k), "skipped": ("<u4", n)}
    sections["url_documents"] = ("<u4", k)
    offset, found = HEADER.itemsize, dict[str, Any]()
    for name, (kind, count) in sections.items():
        found[name] = mapped(path, np.dtype(kind), offset, count)
        offset += found[name].nbytes
    return Documents(**found, id_bytes=mapped(path, np.dtype("u1"), offset, size - offset), tokens=header.tokens)


def last_id_end_at(header: Header) -> int:
    """The byte of an index at which the end of its last id stands, in 8 bytes."""
    return HEADER.itemsize + 8 * (2 * header.documents - 1)


def check_index(header: Header, head: bytes, last_id_end: bytes, size: int, *, shown: str) -> None:
    """Refuse an index of `size` bytes, by its first bytes and those at `last_id_end_at`. Raises TokenFileError."""
    if head != header.pack():
        raise TokenFileError(f"{shown}: is not the index of {PurePath(shown).stem}.tokens; {MEND}")
    n_id_bytes = int.from_bytes(last_id_end, "little") if header.documents else 0
    if size != HEADER.itemsize + 20 * header.documents + 12 * header.urls + n_id_bytes:
        raise TokenFileError(f"{shown}: cut short or damaged: {size} bytes; {MEND}")
