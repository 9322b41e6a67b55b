"""What a component holds: its token folders as one array, less the documents held out for evaluation."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import accumulate
from math import ceil
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from mixtures.catalogue import CATALOGUE, Catalogue, Shard, read_catalogue
from mixtures.errors import SupplyError, TokenFileError, TokenizerError
from mixtures.spec import Component, Mixture
from mixtures.tokens import TokenFile, open_tokens, read_header

_OPEN_FILES: Final = 256
"""Token files kept open at a time: far below the usual limit of 1,024, enough for all shards of a small mixture."""


OpenFile = Callable[[Path], TokenFile]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Tokens `first` up to, not including, `end` of one token file."""

    path: Path
    first: int
    end: int


class TokenRun:
    """Pieces of token files as one array of tokens."""

    def __init__(self, pieces: Sequence[Piece], open_file: OpenFile) -> None:
        self._pieces = tuple(piece for piece in pieces if piece.end > piece.first)
        self._starts = [0, *accumulate(piece.end - piece.first for piece in self._pieces)]
        self._open = open_file

    def __len__(self) -> int:
        return self._starts[-1]

    def read(self, start: int, count: int) -> npt.NDArray[np.int64]:
        """Tokens `start` up to `start + count`: int64 [count]. Raises IndexError outside the run."""
        parts = [self._open(piece.path).tokens[piece.first : piece.end] for piece in self.cut(start, count)]
        return np.concatenate([part.astype(np.int64) for part in parts]) if parts else np.zeros(0, np.int64)

    def documents(self, start: int, count: int) -> list[tuple[str, int, int]]:
        """Documents in that range: (id, first, end) in tokens from `start`, end-of-document tokens included."""
        found, offset = [], 0
        for piece in self.cut(start, count):
            for document_id, first, end in self._open(piece.path).documents().between(piece.first, piece.end):
                found.append((document_id, offset + first - piece.first, offset + end - piece.first))
            offset += piece.end - piece.first
        return found

    def document_start(self, token: int) -> int:
        """Where the document that holds `token` starts."""
        (piece,) = self.cut(token, 1)
        documents = self._open(piece.path).documents()
        return token - (piece.first - int(documents.starts[documents.at(piece.first)]))

    def cut(self, start: int, count: int) -> Iterator[Piece]:
        """The pieces of files that make up the range."""
        end = start + count
        if not 0 <= start <= end <= len(self):
            raise IndexError(f"tokens {start} to {end} are outside the run's {len(self)}")
        number = bisect_right(self._starts, start) - 1
        while start < end:
            piece, begins = self._pieces[number], self._starts[number]
            stop = min(end, self._starts[number + 1])
            yield Piece(path=piece.path, first=piece.first + start - begins, end=piece.first + stop - begins)
            start, number = stop, number + 1


@dataclass(frozen=True, kw_only=True)
class Supply:
    """All tokens of one component."""

    component: Component
    train: TokenRun
    held_out: TokenRun

    def windows(self, context: int) -> int:
        """Whole windows of `context` tokens, each sharing its last token with the next."""
        return max(0, len(self.train) - 1) // context


def open_supplies(mixture: Mixture, token_root: Path) -> tuple[Catalogue, dict[str, Supply]]:
    """Find and check the token files of every component that a stage draws from.

    Raises TokenFileError, TokenizerError, and SupplyError for a component without tokens.
    """
    catalogue = read_catalogue(token_root)
    wanted = {name for stage in mixture.stages for name in mixture.shares(stage)}
    open_file = lru_cache(maxsize=_OPEN_FILES)(open_tokens)
    supplies = {}
    for component in mixture.components:
        if component.name in wanted:
            folders = _folders(component, catalogue, token_root)
            runs = [
                TokenRun(_pieces(token_root / folder, catalogue.folders[folder], catalogue), open_file)
                for folder in folders
            ]
            supplies[component.name] = _supply(component, runs, mixture.held_out, open_file)
    return catalogue, supplies


def _supply(component: Component, runs: list[TokenRun], share: Fraction, open_file: OpenFile) -> Supply:
    """Divide each folder's run into what is trained on and what is held out, and join each across the folders."""
    train: list[Piece] = []
    held_out: list[Piece] = []
    for run in runs:
        first_held_out = _first_held_out(run, share)
        train += run.cut(0, first_held_out)
        held_out += run.cut(first_held_out, len(run) - first_held_out)
    return Supply(component=component, train=TokenRun(train, open_file), held_out=TokenRun(held_out, open_file))


def _folders(component: Component, catalogue: Catalogue, token_root: Path) -> list[str]:
    found: set[str] = set()
    for pattern in component.tokens:
        folders = catalogue.matching(pattern)
        if not folders:
            raise SupplyError(
                f"component {component.name!r}: no token folder matches {pattern!r} under {token_root} (there are "
                f"{', '.join(sorted(catalogue.folders))}); tokenise it or take it out of the recipe"
            )
        found.update(folders)
    return sorted(found)


def _pieces(folder: Path, shards: tuple[Shard, ...], catalogue: Catalogue) -> list[Piece]:
    """The whole of a folder, each file held against the catalogue."""
    for shard in shards:
        _check(folder / shard.file, shard, catalogue)
    return [Piece(path=folder / shard.file, first=0, end=shard.tokens) for shard in shards]


def _first_held_out(run: TokenRun, share: Fraction) -> int:
    """Where the held-out documents of a folder begin: the last `share` of its tokens, rounded up to whole documents.

    The first document always stays in training.
    """
    n_held_out = ceil(len(run) * share)
    if n_held_out == 0:
        return len(run)
    first = run.document_start(len(run) - n_held_out)
    return first or run.documents(0, len(run))[0][2]


def _check(path: Path, shard: Shard, catalogue: Catalogue) -> None:
    header = read_header(path)
    if header.tokenizer != catalogue.tokenizer:
        raise TokenizerError(f"{path}: not made with the tokenizer of {CATALOGUE}; run `falconmix tokenize` again")
    if (header.tokens, header.documents) != (shard.tokens, shard.documents):
        raise TokenFileError(f"{path}: not the file that {CATALOGUE} names; run `falconmix tokenize` again")
