"""Tokenising: what falconmix and Hugging Face's tokenizers cost with one vocabulary, and whether the ids are the same.

    python benchmarks/tokens.py --input shared/data/text --tokenizer shared/data/models/falcon_tokenizer.json --json

Both get the same texts in memory, in the batches of a run, and give the ids of each; special strings in a text are text
for both. Both run on one core (the library with `TOKENIZERS_PARALLELISM=false`), time is CPU time, user and system. A
round begins with engines that remember nothing of earlier texts; machine code is compiled before. The best round of
each side counts. The proof that the ids are equal for every text, once a tokenizer, is shown apart.

Input: `.jsonl` and `.parquet` with a `text`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from given import files_of
from mixtures.fast_bpe.equality import prove
from mixtures.tokenizer import Tokenizer, open_tokenizer, with_verdict

GOAL = 8.0
BATCH = 256
Ids = list[Any]


def main() -> None:
    """Parse the command line, measure, print."""
    options = _options()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    texts = [text for path in files_of(options.input, (".jsonl", ".parquet")) for text in read_texts(path)]
    figures = measure(texts, open_tokenizer(options.tokenizer), options.rounds)
    for name, value in figures.items():
        print(f"{name:<28} {value:,.2f}" if isinstance(value, float) else f"{name:<28} {value}")
    if options.json:
        print(json.dumps(figures))


def read_texts(path: Path) -> list[str]:
    """The texts of a file. Raises SystemExit where it has a row without one."""
    if path.suffix == ".parquet":
        known = "text" in pq.read_schema(path).names
        texts = pq.read_table(path, columns=["text"]).column("text").to_pylist() if known else [None]
    else:
        # Bytes, which have no line ends but those of a file: a text may hold others of Unicode's.
        texts = [json.loads(line).get("text") for line in path.read_bytes().splitlines() if line.strip()]
    if not all(isinstance(text, str) for text in texts):
        raise SystemExit(f"{path}: a row has no text under 'text'")
    return texts


def measure(texts: Sequence[str], tokenizer: Tokenizer, rounds: int) -> dict[str, Any]:
    """Tokens per second of CPU time on each side, and whether all ids are the same.

    Raises SystemExit for a tokenizer that is not proven equal: there the library serves on both sides.
    """
    verdict, proof_s = _timed(lambda: prove(tokenizer))
    if not verdict.equal:
        raise SystemExit(f"the fast engine does not serve this tokenizer: {verdict.reason}")
    _, start_s = _timed(lambda: with_verdict(tokenizer, verdict).encode_batch(["warm"]))
    sides = {"falconmix": with_verdict(tokenizer, verdict), "huggingface": replace(tokenizer, fast=None)}
    best, ids = dict.fromkeys(sides, float("inf")), {}
    for _ in range(rounds):
        for name, side in sides.items():
            fresh = _forgetful(side)
            ids[name], cpu_s = _timed(lambda side=fresh: encoded(texts, side))
            best[name] = min(best[name], cpu_s)
    tokens = sum(map(len, ids["huggingface"]))
    return {
        "texts": len(texts),
        "text_bytes": sum(len(text.encode()) for text in texts),
        "tokens": tokens,
        "same": all(map(np.array_equal, ids["falconmix"], ids["huggingface"])),
        "differing_texts": sum(not np.array_equal(a, b) for a, b in zip(*ids.values(), strict=True)),
        **{f"{name}_tokens_per_s": tokens / cpu_s for name, cpu_s in best.items()},
        "ratio": best["huggingface"] / best["falconmix"],
        "goal": GOAL,
        "proof_cpu_s": proof_s,
        "start_cpu_s": start_s,
    }


def encoded(texts: Sequence[str], tokenizer: Tokenizer) -> Ids:
    """The ids of all texts, batch by batch."""
    remaining, ids = iter(texts), []
    while batch := list(islice(remaining, BATCH)):
        ids += tokenizer.encode_batch(batch)
    return ids


def _forgetful(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer with engines that have seen no text."""
    if tokenizer.fast is not None:
        return replace(tokenizer, fast=replace(tokenizer.fast, memories=deque()))
    engine = type(tokenizer.engine).from_str(tokenizer.content)
    engine.no_truncation()
    engine.no_padding()
    engine.encode_special_tokens = True
    return replace(tokenizer, engine=engine)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started_s = time.process_time()
    result = work()
    return result, time.process_time() - started_s


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, metavar="PATH", help="a file, a folder or a quoted glob")
    parser.add_argument("--tokenizer", required=True, metavar="FILE", help="a tokenizer.json")
    parser.add_argument("--rounds", type=int, default=5, help="of which the best counts (default 5)")
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
