"""Deduplication beside datatrove, rensa and a suffix array, on documents grown with known pairs.

    make bench-env
    python benchmarks/dedup.py --input ../shared/data/text --json

Documents and the similarities of their planted pairs come from `grown_corpus.py`; all sides read the same parquet
files. CPU time is user and system time of all processes of a side. What is spent before the work (imports, tokenizers,
Ray, loading of compiled code) is its start-up, shown apart.

- Signatures, at 14 × 8 = 112 hash functions over 5-word shingles, texts in memory to signatures in memory, the best of
  rounds for ours: `signature_vs_datatrove` is against the shingles and minima of MinhashDedupSignature with spaCy's
  words, without its writing; `signature_vs_rensa` against RMinHash fed with strings of five words (`peer_rensa.py`).
- Near-duplicate search, files to files: `search_vs_datatrove` is against datatrove's four blocks with spaCy's words.
  Ours is the command `falconmix dedup` with `--preset`, candidates verified on exact sets, and without its other steps;
  what it spends on few documents is its start-up, and taken off. `recall`: share of the planted pairs with a Jaccard
  similarity of .8 or more that end in one cluster; `datatrove_recall` the same of datatrove.
- Exact substrings: as in `substrings.py`, on the same documents.

`spaces` repeats datatrove with words split at white space, which is much cheaper than spaCy's.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

import substrings
from dedup_command import dedup, recall, similar_pairs
from grown_corpus import corpus_of, write
from stages.minhash import PRESETS, signatures

HERE = Path(__file__).resolve().parent
SIGNATURE = PRESETS["fineweb"]
SEARCH_ALONE = {"dedup": {"url": None, "exact": False}, "substrings": None}
WARM_UP_DOCUMENTS = 200
GOALS = {
    "signature_vs_datatrove": 100.0,
    "signature_vs_rensa": 5.0,
    "search_vs_datatrove": 10.0,
    "substring_vs_suffix_array": 3.0,
}
Figures = dict[str, Any]
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Search:
    """One near-duplicate search: its CPU seconds, documents in and out, and the cluster of each clustered id."""

    search_s: float
    start_up_s: float
    documents: int
    kept: int
    clusters: Mapping[str, object]


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="dedup-") as name:
        figures = run(options, Path(name))
    print_figures(figures)
    if options.json:
        print(json.dumps(figures))


def run(options: argparse.Namespace, folder: Path) -> Figures:
    """All figures; `folder` takes what all sides write."""
    grown = write(corpus_of(options.input, options.documents, options.seed), folder / "grown")
    documents = folder / "grown" / "documents"
    files = sorted(documents.glob("*.parquet"))
    text = pa.concat_tables(pq.read_table(path, columns=["text"]) for path in files)["text"].combine_chunks()
    signature_s = best_s(lambda: signatures(text, SIGNATURE), options.rounds)
    own = search(folder, options.input, options.seed, options.preset)
    rensa = run_rensa(options.peer_python, documents, options.rounds)
    spans = substrings.measure(text.to_pylist(), options.peer_python, options.rounds)
    peers = {words: run_datatrove(options.peer_python, documents, folder / words, words) for words in options.words}
    pairs = similar_pairs(folder / "grown" / "pairs.parquet")
    headline, _ = peers[options.words[0]]
    return {
        "documents": len(text),
        "mean_words": spans["words"] / len(text),
        "text_bytes": spans["text_bytes"],
        "planted": grown,
        "similar_pairs": pairs.num_rows,
        "signature_vs_datatrove": peers[options.words[0]][1] / signature_s,
        "signature_vs_rensa": rensa["text_s"] / signature_s,
        "search_vs_datatrove": headline.search_s / own.search_s,
        "recall": recall(pairs, own.clusters),
        "datatrove_recall": recall(pairs, headline.clusters),
        "substring_vs_suffix_array": spans["substring_vs_suffix_array"],
        "same_spans": spans["same_spans"],
        "signature_s": signature_s,
        "rensa": rensa,
        "search": {"preset": options.preset, **_counts(own)},
        "datatrove": {
            words: {"signature_s": seconds, **_counts(found), "recall": recall(pairs, found.clusters)}
            for words, (found, seconds) in peers.items()
        },
        "substrings": spans,
        "goals": GOALS,
    }


def best_s(work: Callable[[], object], rounds: int) -> float:
    """Least CPU seconds of several rounds, after one that compiles."""
    return min([_timed(work)[1] for _ in range(rounds + 1)][1:])


def search(folder: Path, given: str, seed: int, preset: str) -> Search:
    """Near-duplicate search by the command over the corpus in `folder`; starting is taken off."""
    recipe = SEARCH_ALONE | {"minhash": {"geometry": asdict(PRESETS[preset])}}
    write(corpus_of(given, WARM_UP_DOCUMENTS, seed), folder / "few")
    few = sorted((folder / "few" / "documents").glob("*.parquet"))
    dedup(few, folder / "compiles", recipe)
    start_up = dedup(few, folder / "starts", recipe)
    found = dedup(sorted((folder / "grown" / "documents").glob("*.parquet")), folder / "search", recipe)
    return Search(
        search_s=found.usage.working_s - start_up.usage.working_s,
        start_up_s=start_up.usage.total_s,
        documents=found.documents,
        kept=found.kept,
        clusters=found.clusters,
    )


def run_datatrove(python: Path, documents: Path, folder: Path, words: str) -> tuple[Search, float]:
    """(its search, CPU seconds of its signatures alone); `folder` is made for what it writes."""
    folder.mkdir()
    settings = {"documents": documents, "work": folder, "output": folder / "figures.json", "words": words}
    (folder / "settings.json").write_text(json.dumps(settings, default=str), encoding="utf-8")
    _run_peer(python, "peer_minhash.py", str(folder / "settings.json"))
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    signature_s = figures.pop("signature_s")
    return Search(**figures), signature_s


def run_rensa(python: Path, documents: Path, rounds: int) -> Figures:
    """CPU seconds of rensa's ways, by name."""
    done = _run_peer(python, "peer_rensa.py", str(documents), str(SIGNATURE.bands * SIGNATURE.rows), str(rounds))
    figures: Figures = json.loads(done.splitlines()[-1])
    return figures


def _run_peer(python: Path, program: str, *arguments: str) -> str:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    line = [str(python), str(HERE / program), *arguments]
    done = subprocess.run(line, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{program} failed ({done.returncode}): {done.stderr[-2000:]}")
    return done.stdout


def print_figures(figures: Figures) -> None:
    n = figures["documents"]
    print(f"{n:,} documents, {figures['text_bytes'] / 1e6:.0f} MB; {figures['similar_pairs']:,} planted pairs J >= .8")
    print(f"\nsignatures, CPU us a document: falconmix {_us(figures['signature_s'], n)}")
    for words, peer in figures["datatrove"].items():
        print(f"  datatrove, words by {words}: {_us(peer['signature_s'], n)}")
    for name in ("text_s", "words_s", "update_s", "batch_s"):
        print(f"  rensa, {name.removesuffix('_s')}: {_us(figures['rensa'][name], n)}")
    own = figures["search"]
    print("\nsearch, CPU us a document, recall, documents in and out, start-up in CPU s")
    sides = {f"falconmix, {own['preset']}": {**own, "recall": figures["recall"]}}
    for name, side in (sides | {f"datatrove, {words}": peer for words, peer in figures["datatrove"].items()}).items():
        print(f"  {name:<24}{_us(side['search_s'], n):>9}  {side['recall']:.4f}", end="  ")
        print(f"{side['documents']:,} -> {side['kept']:,}  {side['start_up_s']:.1f}")
    print()
    for name, goal in GOALS.items():
        print(f"{name:<28}{figures[name]:>9.1f}  goal {goal:.0f}")
    print(f"{'same_spans':<28}{figures['same_spans']!s:>9}")


def _counts(found: Search) -> Figures:
    return {name: getattr(found, name) for name in ("search_s", "start_up_s", "documents", "kept")}


def _us(seconds: float, n: int) -> str:
    return f"{1e6 * seconds / n:,.1f}"


def _timed(work: Callable[[], Result]) -> tuple[Result, float]:
    started_s = time.process_time()
    result = work()
    return result, time.process_time() - started_s


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="texts: a file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--preset", choices=list(PRESETS), default="refinedweb", help="of our search")
    parser.add_argument(
        "--words", nargs="+", choices=("spacy", "spaces"), default=("spacy", "spaces"), help="datatrove's; first counts"
    )
    parser.add_argument("--peer-python", type=Path, default=substrings.PEER_PYTHON, help="a Python that has the peers")
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
