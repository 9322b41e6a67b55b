"""Token files: the tokens of one shard as a flat array.

    part-00000.tokens            128 bytes of header (HEADER), then the tokens, little-endian uint16 or uint32
    part-00000.documents         which documents they are: see `mixtures.document_index`
    part-00000.columns.parquet   what else was known of each document, a row each, in their order

Every document is followed by the end-of-document token. A `.tokens` file is written last and only whole: where it
stands, its shard is done.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mixtures.errors import TokenFileError

MAGIC: Final = b"FXTOKENS"
VERSION: Final = 2
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
        ("skipped", "<u8"),
        ("urls", "<u8"),
        ("reserved", "V40"),
    ]
)
_DTYPES: Final[dict[int, np.dtype[Any]]] = {2: np.dtype("<u2"), 4: np.dtype("<u4")}
_NUMBERS: Final = ("token_bytes", "tokens", "documents", "vocab_size", "eod_id", "skipped", "urls")
MEND: Final = "tokenise it again (delete the file and run `falconmix tokenize` as before)"


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
    skipped: int = 0
    """Tokens that the loss passes over: repeated prefixes of conversations, masked documents."""
    urls: int = 0
    """Documents that have a URL."""

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
        for name in _NUMBERS:
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


def read_header(path: Path) -> Header:
    """Read a token file's header and hold its length against it. Raises TokenFileError."""
    try:
        with path.open("rb") as file:
            return parse_header(path, file.read(HEADER.itemsize), os.fstat(file.fileno()).st_size)
    except FileNotFoundError:
        raise TokenFileError(f"{path}: no such token file; {MEND}") from None


def parse_header(name: str | Path, content: bytes, size: int) -> Header:
    """The header in the first bytes of a token file of `size` bytes. Raises TokenFileError."""
    header = _unpack(name, content)
    if size != header.size_bytes:
        fault = "cut short" if size < header.size_bytes else "too long"
        raise TokenFileError(f"{name}: {fault}: {size} bytes, of {header.size_bytes} by its header; {MEND}")
    return header


def token_dtype(name: str | Path, head: bytes) -> np.dtype[Any]:
    """Type of the tokens on disk by the first bytes of a file that was checked before. Raises TokenFileError."""
    # Of the whole header only this, since it is read each time that a file is opened.
    magic, version, token_bytes = struct.unpack_from("<8sII", head) if len(head) >= 16 else (b"", 0, 0)
    if magic != MAGIC or version != VERSION or token_bytes not in _DTYPES:
        raise TokenFileError(f"{name}: damaged header; {MEND}")
    return _DTYPES[token_bytes]


def open_tokens(path: Path) -> TokenFile:
    """Map a token file. Raises TokenFileError where it is missing, foreign or cut short."""
    header = read_header(path)
    tokens = mapped(path, header.dtype, HEADER.itemsize, header.tokens)
    return TokenFile(path=path, header=header, tokens=tokens)


def _unpack(name: str | Path, content: bytes) -> Header:
    if not content.startswith(MAGIC):
        raise TokenFileError(f"{name}: not a token file; give files made by `falconmix tokenize`")
    if len(content) < HEADER.itemsize:
        raise TokenFileError(f"{name}: cut short within the header; {MEND}")
    row = np.frombuffer(content, HEADER)[0]
    if row["version"] != VERSION:
        raise TokenFileError(f"{name}: format {row['version']}, this version reads {VERSION}; {MEND}")
    numbers = {number: int(row[number]) for number in _NUMBERS}
    if numbers["token_bytes"] not in _DTYPES:
        raise TokenFileError(f"{name}: damaged header; {MEND}")
    return Header(**numbers, tokenizer=row["tokenizer"].tobytes().hex(), job=row["job"].tobytes().hex())


def mapped(path: Path, dtype: np.dtype[Any], offset: int, count: int) -> Any:
    """`count` items of a file from byte `offset` on, without reading them yet."""
    if not count:  # an empty range cannot be mapped
        return np.zeros(0, dtype)
    # As a plain array: every slice of a memmap pays for being one.
    return np.memmap(path, dtype, mode="r", offset=offset, shape=(count,)).view(np.ndarray)
