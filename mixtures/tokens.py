"""Token files: the tokens of one shard as a flat array, with the documents they came from beside it.

    part-00000.tokens      128 bytes of header (HEADER), then the tokens, little-endian uint16 or uint32
    part-00000.documents   the same header, then per document where it starts (uint64, in tokens), per document where
                           its id ends (uint64, in bytes of what follows), then all ids, one after another, in UTF-8

Every document is followed by the end-of-document token. A `.tokens` file is written last and only whole: where it
stands, its shard is done.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from mixtures.errors import TokenFileError

MAGIC: Final = b"FXTOKENS"
VERSION: Final = 1
HEADER: Final = np.dtype(
    [
        ("magic", "S8"),
        ("version", "<u4"),
        ("token_bytes", "<u4"),
        ("tokens", "<u8"),
        ("documents", "<u8"),
        ("vocab_size", "<u4"),
        ("eod_id", "<u4"),
        ("tokenizer", "V16"),
        ("job", "V16"),
        ("reserved", "V56"),
    ]
)
_MEND: Final = "tokenise it again (delete the file and run `falconmix tokenize` as before)"


@dataclass(frozen=True, kw_only=True)
class Header:
    """First 128 bytes of a token file."""

    token_bytes: int
    """Width of a token: 2 where the vocabulary fits, else 4."""
    tokens: int
    documents: int
    vocab_size: int
    eod_id: int
    tokenizer: str
    """BLAKE2b-128 of the tokenizer, as hex digits (`mixtures.tokenizer.digest`)."""
    job: str
    """BLAKE2b-128 of all that decided the content: input, columns, tokenizer, format."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the tokens on disk."""
        return np.dtype(f"<u{self.token_bytes}")

    @property
    def size_bytes(self) -> int:
        """Size of the whole `.tokens` file."""
        return HEADER.itemsize + self.tokens * self.token_bytes

    def pack(self) -> bytes:
        """The header as it is written."""
        row = np.zeros((), HEADER)
        row["magic"], row["version"] = MAGIC, VERSION
        for name in ("token_bytes", "tokens", "documents", "vocab_size", "eod_id"):
            row[name] = getattr(self, name)
        row["tokenizer"], row["job"] = bytes.fromhex(self.tokenizer), bytes.fromhex(self.job)
        return row.tobytes()


@dataclass(frozen=True, kw_only=True)
class TokenFile:
    """An open token file; nothing but the header is in memory until it is touched."""

    path: Path
    header: Header
    tokens: npt.NDArray[np.unsignedinteger[Any]]
    """[header.tokens], mapped from disk."""

    def documents(self) -> Documents:
        """Open the document index beside the tokens. Raises TokenFileError."""
        return open_documents(self.path, self.header)


@dataclass(frozen=True, kw_only=True)
class Documents:
    """Document index of one token file: document d holds the tokens from `starts[d]` up to the next start."""

    starts: npt.NDArray[np.uint64]
    """[documents], in tokens."""
    id_ends: npt.NDArray[np.uint64]
    """[documents], in bytes of `id_bytes`."""
    id_bytes: npt.NDArray[np.uint8]

    def id(self, document: int) -> str:
        """The id of document number `document`."""
        first = int(self.id_ends[document - 1]) if document else 0
        return self.id_bytes[first : int(self.id_ends[document])].tobytes().decode()

    def at(self, token: int) -> int:
        """Number of the document that holds the token at `token`."""
        return int(np.searchsorted(self.starts, token, side="right")) - 1

    def between(self, first: int, end: int) -> Iterator[tuple[str, int, int]]:
        """Documents that hold tokens from `first` up to `end`: (id, first, end), cut to that range."""
        for number in range(self.at(first), len(self.starts)):
            start = int(self.starts[number])
            if start >= end:
                break
            next_start = int(self.starts[number + 1]) if number + 1 < len(self.starts) else end
            yield self.id(number), max(start, first), min(next_start, end)


def read_header(path: Path) -> Header:
    """Read a token file's header and hold its length against it. Raises TokenFileError."""
    try:
        with path.open("rb") as file:
            header = _unpack(path, file.read(HEADER.itemsize))
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        raise TokenFileError(f"{path}: no such token file; {_MEND}") from None
    if size != header.size_bytes:
        fault = "cut short" if size < header.size_bytes else "too long"
        raise TokenFileError(f"{path}: {fault}: {size} bytes, of {header.size_bytes} by its header; {_MEND}")
    return header


def open_tokens(path: Path) -> TokenFile:
    """Map a token file. Raises TokenFileError where it is missing, foreign or cut short."""
    header = read_header(path)
    tokens = _map(path, header.dtype, HEADER.itemsize, header.tokens)
    return TokenFile(path=path, header=header, tokens=tokens)


def documents_path(tokens: Path) -> Path:
    """The document index of the token file `tokens`."""
    return tokens.with_suffix(".documents")


def open_documents(tokens: Path, header: Header) -> Documents:
    """Map the document index of the token file `tokens`, whose header is `header`. Raises TokenFileError."""
    path, n = documents_path(tokens), header.documents
    ids_at = HEADER.itemsize + 16 * n
    if not path.is_file():
        raise TokenFileError(f"{path}: no such document index; {_MEND}")
    with path.open("rb") as file:
        if file.read(HEADER.itemsize) != header.pack():
            raise TokenFileError(f"{path}: is not the index of {tokens.name}; {_MEND}")
    size = path.stat().st_size
    id_ends = _map(path, np.dtype("<u8"), HEADER.itemsize + 8 * n, n) if size >= ids_at else np.zeros(0, np.uint64)
    n_id_bytes = int(id_ends[-1]) if len(id_ends) else 0
    if size != ids_at + n_id_bytes:
        raise TokenFileError(f"{path}: cut short or damaged: {size} bytes; {_MEND}")
    starts = _map(path, np.dtype("<u8"), HEADER.itemsize, n)
    return Documents(starts=starts, id_ends=id_ends, id_bytes=_map(path, np.dtype("u1"), ids_at, n_id_bytes))


def pack_documents(header: Header, starts: list[int], ids: list[str]) -> Iterator[bytes]:
    """The content of a document index, piece by piece."""
    encoded = [document_id.encode() for document_id in ids]
    yield header.pack()
    yield np.array(starts, "<u8").tobytes()
    yield np.cumsum([len(document_id) for document_id in encoded], dtype="<u8").tobytes()
    yield b"".join(encoded)


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears at `path` only when it is complete and safe on disk, and not at all on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unpack(path: Path, content: bytes) -> Header:
    if not content.startswith(MAGIC):
        raise TokenFileError(f"{path}: not a token file; give files made by `falconmix tokenize`")
    if len(content) < HEADER.itemsize:
        raise TokenFileError(f"{path}: cut short within the header; {_MEND}")
    row = np.frombuffer(content, HEADER)[0]
    if row["version"] != VERSION:
        raise TokenFileError(f"{path}: format {row['version']}, this version reads {VERSION}; {_MEND}")
    numbers = {name: int(row[name]) for name in ("token_bytes", "tokens", "documents", "vocab_size", "eod_id")}
    if numbers["token_bytes"] not in (2, 4):
        raise TokenFileError(f"{path}: damaged header; {_MEND}")
    return Header(**numbers, tokenizer=row["tokenizer"].tobytes().hex(), job=row["job"].tobytes().hex())


def _map(path: Path, dtype: np.dtype[Any], offset: int, count: int) -> Any:
    if not count:  # an empty range cannot be mapped
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, mode="r", offset=offset, shape=(count,))
