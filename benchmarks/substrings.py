"""CPU seconds of exact-substring deduplication, and of building the suffix array that it does without.

    python benchmarks/substrings.py --input ../shared/data/text --json
    python benchmarks/substrings.py --input ../shared/data/text --peer-python OTHER/bin/python --json

Documents of 200 to 800 words are grown from the input: runs of `PHRASE_WORDS` words of the real texts, drawn at random,
so that no passage of 50 words occurs twice by itself. Passages are planted in a tenth of them, some many times, a
hundredth repeats a part of itself. Ours is the whole pass in one process, from a column of texts in memory to the texts
after cutting; theirs pydivsufsort's `divsufsort` alone over the same words and marks, white space left out, without
reading anything off it. The words covered by repeated passages are then read off the suffix array (after an LCP array
that is not timed) and compared with ours: `same_spans`. The best of several rounds counts, as others share the machine.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from glob import glob
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.substrings import SubstringRules, cut, filter_substrings, find_spans
from stages.windows import Words, words_of

HERE = Path(__file__).resolve().parent
PEER_PYTHON = HERE.parent / "build" / "bench-env" / "bin" / "python"
GOAL = 3.0
PHRASE_WORDS = 8
BATCH_DOCUMENTS = 1000
WORD, WORD_END, TEXT_END = re.compile(r"(\w+)(\W*)"), "\x01", b"\x00"

Rows = NDArray[np.int64]


def main() -> None:
    """Parse the command line, measure both, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--input", required=True, help="JSON lines with `text`: a file, a folder, or a quoted glob")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-python", type=Path, default=PEER_PYTHON, help="a Python that has pydivsufsort")
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    options = parser.parse_args()
    texts = grow(read_texts(options.input), options.documents, seed=0)
    figures = measure(texts, options.peer_python, options.rounds)
    for name, value in figures.items():
        print(f"{name:<26} {value:,.2f}" if isinstance(value, float) else f"{name:<26} {value:,}")
    if options.json:
        print(json.dumps(figures))


def read_texts(given: str) -> list[str]:
    """The texts of all files that `given` names. Raises SystemExit where there are none."""
    path = Path(given)
    files = [path] if path.is_file() else path.rglob("*.jsonl") if path.is_dir() else map(Path, glob(given))  # noqa: PTH207
    lines = [line for file in sorted(files) for line in file.read_text(encoding="utf-8").splitlines()]
    if not lines:
        raise SystemExit(f"{given}: no .jsonl file there")
    return [json.loads(line)["text"] for line in lines]


def grow(texts: Sequence[str], n_documents: int, seed: int) -> list[str]:
    """Documents of 200 to 800 words made of phrases of `texts`, with planted passages of 60 to 200 words."""
    rng = np.random.default_rng(seed)
    words = [word for text in texts for word in re.findall(r"\S+\s*", text)]

    def phrases(n_words: int) -> list[str]:
        starts = rng.integers(0, len(words) - PHRASE_WORDS, -(-n_words // PHRASE_WORDS)).tolist()
        return [word for start in starts for word in words[start : start + PHRASE_WORDS]][:n_words]

    passages = [phrases(int(n)) for n in rng.integers(60, 200, max(n_documents // 40, 1))]
    documents = []
    for kind in rng.random(n_documents).tolist():
        document = phrases(int(rng.integers(200, 800)))
        at = int(rng.integers(0, len(document)))
        if kind < 0.1:
            document[at:at] = passages[int(rng.zipf(1.5)) % len(passages)]
        elif kind < 0.11:
            document[at:at] = document[:100]
        documents.append("".join(document))
    return documents


def measure(texts: Sequence[str], peer_python: Path, rounds: int) -> dict[str, Any]:
    """Both sides' CPU seconds over the same documents, and whether they cover the same words."""
    started_s = time.process_time()
    deduplicate(texts[:BATCH_DOCUMENTS])
    start_up_s = time.process_time() - started_s
    spans, n_emptied, seconds = deduplicate(texts)
    seconds = min([seconds, *(deduplicate(texts)[2] for _ in range(rounds - 1))])
    words = words_of(pa.array(texts, pa.large_string()))
    seen = plain(texts)
    with tempfile.TemporaryDirectory() as folder:
        peer_s, suffix_array, shared = run_peer(seen.data, Path(folder), peer_python, rounds)
    covered = covered_by_spans(spans, words)
    theirs = covered_by_suffix_array(seen, suffix_array, shared, SubstringRules().k)
    return {
        "documents": len(texts),
        "words": len(covered),
        "text_bytes": sum(len(text.encode()) for text in texts),
        "suffix_array_bytes": len(suffix_array),
        "spans": spans.num_rows,
        "documents_cut": len(spans["id"].unique()),
        "documents_emptied": n_emptied,
        "words_covered": int(covered.sum()),
        "falconmix_s": seconds,
        "falconmix_start_up_s": start_up_s,
        "pydivsufsort_s": peer_s,
        "substring_vs_suffix_array": peer_s / seconds,
        "goal": GOAL,
        "same_spans": bool(np.array_equal(covered, theirs)),
    }


def deduplicate(texts: Sequence[str]) -> tuple[pa.Table, int, float]:
    """The whole pass over documents in their order: (spans, documents emptied, CPU seconds); ids are their numbers."""
    columns = {"id": pa.array(map(str, range(len(texts))), pa.string()), "text": pa.array(texts, pa.string())}
    batches = pa.table(columns).to_batches(max_chunksize=BATCH_DOCUMENTS)
    ranks = np.split(np.arange(len(texts)), np.cumsum([len(batch) for batch in batches])[:-1])
    rules = SubstringRules()
    started_s = time.process_time()
    spans = find_spans(batches, ranks, rules.k)
    judged = [filter_substrings(batch, cut(batch["id"], batch["text"], spans), rules) for batch in batches]
    seconds = time.process_time() - started_s
    return spans, sum(len(batch) - batch["substrings"].null_count for batch in judged), seconds


class Plain(NamedTuple):
    """Words with their ends marked, and the marks between them: equal windows are equal bytes.

    Word j is data[starts[j]:ends[j]], its end mark included, and one of the text of_text[j].
    """

    data: bytes
    starts: Rows
    ends: Rows
    of_text: Rows


def plain(texts: Sequence[str]) -> Plain:
    """The words of texts as a suffix array is to see them; found without any code of ours."""
    parts, lengths, of_text = [], [], []
    for number, text in enumerate(texts):
        found = [(f"{word}{WORD_END}".encode(), "".join(gap.split()).encode()) for word, gap in WORD.findall(text)]
        parts += [part for pair in found for part in pair]
        lengths += [(len(word), len(gap)) for word, gap in found]
        lengths.append((0, len(TEXT_END)))
        parts.append(TEXT_END)
        of_text += [*[number] * len(found), -1]
    steps = np.array(lengths)
    starts = np.cumsum(steps.sum(axis=1)) - steps.sum(axis=1)
    word = np.array(of_text) >= 0
    return Plain(b"".join(parts), starts[word], (starts + steps[:, 0])[word], np.array(of_text)[word])


def run_peer(data: bytes, folder: Path, python: Path, rounds: int) -> tuple[float, Rows, Rows]:
    """(CPU seconds, suffix array, bytes that each suffix shares with the next)."""
    (folder / "text").write_bytes(data)
    command = [str(python), str(HERE / "peer_suffix_array.py"), str(folder), str(rounds)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout), np.load(folder / "suffix_array.npy"), np.load(folder / "shared.npy")


def covered_by_spans(spans: pa.Table, words: Words) -> NDArray[np.bool_]:
    """Whether each word of the corpus lies in a span; ids are the numbers of the texts."""
    text = words.text.offsets[spans["id"].cast(pa.int64()).to_numpy()]
    first = np.searchsorted(words.starts, text + spans["start"].to_numpy())
    last = np.searchsorted(words.ends, text + spans["end"].to_numpy(), side="right")
    return _covered(first, last, len(words.starts))


def covered_by_suffix_array(words: Plain, suffix_array: Rows, shared: Rows, k: int) -> NDArray[np.bool_]:
    """Whether each word of the corpus lies in a window of `k` words that the suffix array finds at an earlier place.

    Suffixes that begin with one and the same window lie together, as no other begins with its bytes.
    """
    n_windows = max(len(words.starts) - k + 1, 0)
    window = np.flatnonzero(words.of_text[:n_windows] == words.of_text[k - 1 :])
    if not len(window):
        return np.zeros(len(words.starts), bool)
    window_at = np.full(len(words.data), -1)
    window_at[words.starts[window]] = window
    ordered = window_at[suffix_array]
    ranks = np.flatnonzero(ordered >= 0)
    ordered = ordered[ranks]
    between = np.minimum.reduceat(shared, ranks)[:-1]  # least of what the suffixes from one window to the next share
    same = between >= (words.ends[ordered + k - 1] - words.starts[ordered])[:-1]
    group = np.flatnonzero(np.concatenate([[True], ~same]))
    earliest = np.repeat(np.minimum.reduceat(ordered, group), np.diff(np.append(group, len(ordered))))
    repeats = ordered[ordered != earliest]
    return _covered(repeats, repeats + k, len(words.starts))


def _covered(starts: Rows, ends: Rows, n_words: int) -> NDArray[np.bool_]:
    steps = np.bincount(starts, minlength=n_words + 1) - np.bincount(ends, minlength=n_words + 1)
    return np.cumsum(steps)[:n_words] > 0


if __name__ == "__main__":
    main()
