"""How fast training sequences are read from the page cache, beside a memory-mapped file read at random places.

    python benchmarks/loader.py --json
    python benchmarks/loader.py --input tokens --contexts 2048 --json

Writes token files for every component of falcon2-11b (`--shards` each, of about `--shard-tokens`), or takes those of a
token root, and reads `--tokens` of each context length, one position after the other, in one thread, as a stage of
falcon2-11b whose components may be repeated at will. The peer reads as many windows as nanoGPT and others do: one file
mapped by numpy, a random place, `astype(int64)`; it knows neither components nor epochs nor where a document is. Its
file holds all the tokens of the others, up to a GiB. Both are read once before; the best of `--rounds`, in turns.

`demo`: the demo recipe's step of 64 sequences of 64 tokens, as `StepDataset` gives it, beside what one core needs to
train on it.

`store`: the same files in an object store on this machine that answers after `--latency-ms`, with a cache that does not
hold them: opening, and steps of `--store-sequences` windows of 2,048 tokens, each read as a range. The store's own work
is in the times. CPU time is user and system time of this process, all its threads.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from mixtures.catalogue import read_catalogue, survey, write_catalogue
from mixtures.document_index import IndexDraft, documents_path
from mixtures.remote import ObjectStore
from mixtures.spec import Mixture, load_mixture
from mixtures.stream import Stream
from mixtures.tokens import Header, open_tokens
from slow_store import serving
from trainer.build import blank, initialise
from trainer.config import BatchSize, load_recipe
from trainer.data import StepPlan
from trainer.loader import StepDataset
from trainer.loss import loss_sums, objective
from trainer.parallel import Process, joined

MIXTURE: Final = "falcon2-11b"
DEMO_STEP: Final = 120
"""A step of stage 1 after its ramp; the `STEPS` from there on are as large."""
STEPS: Final = 10
PEER_TOKENS: Final = 2**29
CACHE_BYTES: Final = 2**24
"""Of the store's part: room for the catalogue and the document indexes that opening looks at."""
FIRST: Final = 200_000
"""The position at which reading begins, some epochs into the token files."""
Figures = dict[str, Any]


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="loader-", dir=options.scratch) as name:
        folder = Path(name)
        root = options.input or write_root(folder / "tokens", options.shards, options.shard_tokens)
        flat = write_flat(root, folder / "flat.bin")
        figures = {
            "shards": len(sorted(root.rglob("*.tokens"))),
            "contexts": [beside_peer(root, flat, context, options) for context in options.contexts],
            "demo": demo(root),
            "store": from_store(root, folder / "cache", options),
        }
    print_figures(figures)
    if options.json:
        print(json.dumps(figures))


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds that some work took."""

    cpu_s: float
    wall_s: float


def measured(work: Callable[[], None]) -> Cost:
    """What one call of `work` takes."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return Cost(cpu_s=time.process_time() - cpu, wall_s=time.perf_counter() - wall)


def best(*works: Callable[[], None], rounds: int) -> list[Cost]:
    """Each work in turns, after one turn that does not count; the round with the least CPU time of each."""
    found = [[measured(work) for work in works] for _ in range(rounds + 1)][1:]
    return [min(costs, key=lambda cost: cost.cpu_s) for costs in zip(*found, strict=True)]


def beside_peer(root: Path, flat: Path, context: int, options: argparse.Namespace) -> Figures:
    """Tokens a second of both sides for one context length."""
    stream, count = Stream.open(repeatable(context), root), max(1, options.tokens // context)
    places = np.random.default_rng(0).integers(0, flat.stat().st_size // 2 - context - 1, count).tolist()
    tokens = np.memmap(flat, dtype=np.uint16, mode="r")

    def ours() -> None:
        for position in range(FIRST, FIRST + count):
            stream.sequence(position)

    def theirs() -> None:
        for place in places:
            tokens[place : place + context + 1].astype(np.int64)

    own, peer = best(ours, theirs, rounds=options.rounds)
    return {
        "context": context,
        "sequences": count,
        "falconmix": rates(own, count, context),
        "memmap": rates(peer, count, context),
        "ratio": peer.cpu_s / own.cpu_s,
    }


def demo(root: Path) -> Figures:
    """Tokens a second that the demo's loader gives, and those that its step trains on, on one core."""
    config = load_recipe("demo")
    stream = Stream.open(lifted(load_mixture("demo")), root)
    plan = StepPlan(stream.spans, config.stages)
    step = plan.step(DEMO_STEP)
    torch.set_num_threads(1)
    part = next(iter(StepDataset(stream, plan, position=step.first)))

    def read() -> None:
        for _ in islice(StepDataset(stream, plan, position=step.first), STEPS):
            pass

    with joined(Process()) as mesh:
        trained = blank(config, config.stages[0], mesh, Process())
        initialise(trained.model, config.model, config.seed)

        def train() -> None:
            sums = loss_sums(trained.model(part["inputs"] % config.model.vocab), part["targets"] % config.model.vocab)
            torch.autograd.backward(objective(sums, step_tokens=step.tokens, z_loss=config.optim.z_loss, world=1))
            torch.nn.utils.clip_grad_norm_(trained.model.parameters(), config.optim.clip_norm)
            trained.optimizer.step()
            trained.optimizer.zero_grad()

        reading, training = best(read, train, rounds=5)
    given, taken = STEPS * step.tokens / reading.cpu_s, step.tokens / training.cpu_s
    return {"loader_tokens_per_cpu_s": given, "step_tokens_per_cpu_s": taken, "ratio": given / taken}


def from_store(root: Path, cache: Path, options: argparse.Namespace) -> Figures:
    """How many windows a second come from a store, and how long opening takes."""
    context, batch = 2_048, options.store_sequences
    with serving(root, options.latency_ms) as url:
        started = time.perf_counter()
        stream = Stream.open(repeatable(context), ObjectStore(url, cache=cache, cache_bytes=CACHE_BYTES))
        opening_s = time.perf_counter() - started
        stage = replace(load_recipe("demo").stages[0], batch=(BatchSize(from_tokens=0, sequences=batch),))
        steps = iter(StepDataset(stream, StepPlan(stream.spans, [stage])))
        next(steps)  # it opens the connections
        started = time.perf_counter()
        for _ in islice(steps, STEPS):
            pass
        wall_s = time.perf_counter() - started
    return {
        "latency_ms": options.latency_ms,
        "at_once": stream.at_once,
        "opening_s": opening_s,
        "windows_per_s": STEPS * batch / wall_s,
        "tokens_per_s": STEPS * batch * context / wall_s,
    }


def rates(cost: Cost, count: int, context: int) -> Figures:
    """Tokens by second of CPU and wall time, and what a sequence costs."""
    tokens = count * context
    return {
        "tokens_per_cpu_s": tokens / cost.cpu_s,
        "tokens_per_s": tokens / cost.wall_s,
        "us_per_sequence": 1e6 * cost.cpu_s / count,
    }


def repeatable(context: int) -> Mixture:
    """The first stage of falcon2-11b, its sequences of `context` tokens, its components repeated at will."""
    mixture = lifted(load_mixture(MIXTURE))
    return replace(mixture, stages=(replace(mixture.stages[0], context=context),))


def lifted(mixture: Mixture) -> Mixture:
    """The mixture without a limit of epochs."""
    components = tuple(replace(component, max_epochs=10**12) for component in mixture.components)
    return replace(mixture, components=components)


def write_root(root: Path, shards: int, tokens: int) -> Path:
    """Token files for every component of falcon2-11b: random tokens in documents of 100 to 1,900."""
    chance = np.random.default_rng(0)
    drawn = chance.integers(12, 65_024, 2 * tokens, dtype=np.uint16)
    files = []
    for component in load_mixture(MIXTURE).components:
        for number in range(shards):
            path = root / component.tokens[0] / f"part-{number:05}.tokens"
            write_tokens(path, chance.integers(100, 1_900, max(2, tokens // 1_000)), drawn)
            files.append((path, f"part-{number:05}.parquet"))
    write_catalogue(root, survey(root, files))
    return root


def write_tokens(path: Path, lengths: np.ndarray, drawn: np.ndarray) -> None:
    """One token file of documents of those lengths, with its index."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = hashlib.blake2b(str(path).encode(), digest_size=16).hexdigest()
    index, tokens = IndexDraft(), drawn[: int(lengths.sum())].copy()
    for number, length in enumerate(lengths.tolist()):
        index.add(f"{name[:24]}{number:08x}", length)
    tokens[np.cumsum(lengths) - 1] = 11
    header = Header(
        token_bytes=2,
        tokens=len(tokens),
        documents=len(lengths),
        vocab_size=65_024,
        eod_id=11,
        tokenizer="ab" * 16,
        job=name,
    )
    with documents_path(path).open("wb") as file:
        file.writelines(index.pack(header))
    path.write_bytes(header.pack() + tokens.tobytes())


def write_flat(root: Path, path: Path) -> Path:
    """The tokens of all shards in one file without headers, as far as the peer is given them."""
    left = PEER_TOKENS
    with path.open("wb") as file:
        for folder, shards in read_catalogue(root).folders.items():
            for shard in shards:
                tokens = open_tokens(root / folder / shard.file).tokens[:left]
                file.write(tokens.astype(np.uint16).tobytes())
                left -= len(tokens)
    return path


def print_figures(figures: Figures) -> None:
    """The figures for reading."""
    print(f"{figures['shards']} token files; M tokens a CPU second")
    for row in figures["contexts"]:
        own, peer = row["falconmix"], row["memmap"]
        print(
            f"context {row['context']:>5}: falconmix {own['tokens_per_cpu_s'] / 1e6:7.1f} "
            f"({own['us_per_sequence']:.1f} us a sequence)  memmap {peer['tokens_per_cpu_s'] / 1e6:7.1f} "
            f"({peer['us_per_sequence']:.1f})  ratio {row['ratio']:.2f}"
        )
    found = figures["demo"]
    store = figures["store"]
    print(
        f"store: {store['windows_per_s']:,.0f} windows of 2,048 tokens a second at {store['latency_ms']:.0f} ms, "
        f"{store['at_once']} at once; opened in {store['opening_s']:.1f} s"
    )
    print(
        f"demo: {found['loader_tokens_per_cpu_s']:,.0f} tokens a CPU second loaded, "
        f"{found['step_tokens_per_cpu_s']:,.0f} trained on, ratio {found['ratio']:.0f}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", type=Path, metavar="TOKENS", help="a token root (default: one is made)")
    parser.add_argument("--contexts", type=int, nargs="+", default=[64, 2048, 4096, 8192], metavar="N")
    parser.add_argument("--tokens", type=int, default=40_000_000, metavar="N", help="tokens read of each context")
    parser.add_argument("--shards", type=int, default=32, metavar="N", help="token files a component (default 32)")
    parser.add_argument("--shard-tokens", type=int, default=1_000_000, metavar="N", help="tokens a file")
    parser.add_argument("--rounds", type=int, default=3, metavar="N")
    parser.add_argument("--latency-ms", type=float, default=50.0, metavar="MS", help="of the store (default 50)")
    parser.add_argument("--store-sequences", type=int, default=256, metavar="N", help="windows in a step of its")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="where the files are made (default: /tmp)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON in the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
