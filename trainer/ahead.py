"""A hash of the sequences that come next: a checkpoint holds it, and it is compared when a run goes on from there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from operator import xor

import torch.distributed as dist

from mixtures.stream import Stream
from trainer.data import share
from trainer.layout import Process


def digest_ahead(stream: Stream, first: int, count: int, process: Process) -> str:
    """128 bits, as hex digits, of the tokens at positions `first` up to `first + count`; "" for none. A collective.

    Each process hashes its part. Positions are hashed with their tokens, and the hashes combined without regard to
    their order: any number of processes finds the same.
    """
    # All processes alike: those of one tensor or context group, too, have parts of their own.
    mine = [first + row for row in share(count, Process(rank=process.rank, world=process.world))]
    n = stream.at_once
    with ThreadPoolExecutor(n, thread_name_prefix="hashing") as pool:
        part = reduce(xor, pool.map(lambda i: _combined(stream, mine[i::n]), range(n)))
    parts = [0] * process.world
    dist.all_gather_object(parts, part)
    return f"{reduce(xor, parts):032x}" if count else ""


def _combined(stream: Stream, positions: Sequence[int]) -> int:
    return reduce(xor, _hashes(stream, positions), 0)


def _hashes(stream: Stream, positions: Sequence[int]) -> Iterator[int]:
    for position in positions:
        keyed = f"{position} {stream.digest(position, 1)}".encode()
        yield int.from_bytes(hashlib.blake2b(keyed, digest_size=16).digest())
