"""rensa's side of `benchmarks/dedup.py`; runs in the peers' own environment (`make bench-env`).

    build/bench-env/bin/python benchmarks/peer_rensa.py FOLDER NUM_PERM ROUNDS

Texts of FOLDER's parquet files to digests of `RMinHash`, one process, the best of ROUNDS, as CPU seconds on the last
line. `text_s`: from the text, which is what falconmix starts from: lower-case words by `\\w+`, strings of five words
joined by a space, `update` with their list, `digest`. Of that, `update_s`: `update` and `digest` alone, the lists made
beforehand. `batch_s`: those lists all at once, by `digest_matrix_from_token_sets`. `words_s`: `update` with
`text.split()`, as rensa's own examples do, which compares bags of words and not shingles.
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["RAYON_NUM_THREADS"] = "1"  # read when rensa is loaded

import pyarrow.parquet as pq
from rensa import RMinHash

WORD, SHINGLE, SEED = re.compile(r"\w+"), 5, 42


def main() -> None:
    folder, num_perm, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    files = sorted(folder.glob("*.parquet"))
    texts = [text for path in files for text in pq.read_table(path, columns=["text"])["text"].to_pylist()]
    sets = [shingles(text) for text in texts]
    digest(sets[0], num_perm)
    works: dict[str, Callable[[], object]] = {
        "text_s": lambda: [digest(shingles(text), num_perm) for text in texts],
        "update_s": lambda: [digest(tokens, num_perm) for tokens in sets],
        "batch_s": lambda: RMinHash.digest_matrix_from_token_sets(sets, num_perm, SEED),
        "words_s": lambda: [digest(text.split(), num_perm) for text in texts],
    }
    start_up = {"start_up_s": time.process_time(), "documents": len(texts)}
    print(json.dumps(start_up | {name: min(cpu_s(work) for _ in range(rounds)) for name, work in works.items()}))


def shingles(text: str) -> list[str]:
    """Runs of five words, or the one run of all words where there are fewer."""
    words = WORD.findall(text.lower())
    return [" ".join(words[i : i + SHINGLE]) for i in range(max(len(words) - SHINGLE + 1, 1))]


def digest(tokens: list[str], num_perm: int) -> list[int]:
    sketch = RMinHash(num_perm=num_perm, seed=SEED)
    sketch.update(tokens)
    return sketch.digest()


def cpu_s(work: Callable[[], object]) -> float:
    started_s = time.process_time()
    work()
    return time.process_time() - started_s


if __name__ == "__main__":
    main()
