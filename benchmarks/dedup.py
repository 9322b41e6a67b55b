"""Deduplication beside datatrove, rensa and a suffix array, on documents grown with known pairs.

    make bench-env
    python benchmarks/dedup.py --input ../shared/data/text --json

Documents and the similarities of their planted pairs come from `grown_corpus.py`; all sides read the same parquet
files. Each side is one process, and CPU time is its user and system time, that of its threads included. What a process
spends before its clock starts (imports, tokenizers, first calls of compiled code) is its start-up, shown apart.

- Signatures, at 14 × 8 = 112 hash functions over 5-word shingles, texts in memory to signatures in memory, the best of
  rounds for ours: `signature_vs_datatrove` is against the shingles and minima of MinhashDedupSignature with spaCy's
  words, without its writing; `signature_vs_rensa` against RMinHash fed with strings of five words (`peer_rensa.py`).
- Near-duplicate search, files to files: `search_vs_datatrove` is against datatrove's four blocks with spaCy's words.
  Ours is `--preset` with candidates verified on exact sets. `recall`: share of the planted pairs with a Jaccard
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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import substrings
from grown_corpus import corpus_of, write
from stages.clusters import components
from stages.minhash import PRESETS, Geometry, ShingleSets, band_keys, shingle_sets, signatures
from stages.verify import VerifyRules, candidate_groups, verify

HERE = Path(__file__).resolve().parent
SIGNATURE = PRESETS["fineweb"]
MIN_JACCARD = 0.8
WARM_UP_DOCUMENTS = 100
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
    own = search(files, folder / "kept", PRESETS[options.preset])
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


def search(files: Sequence[Path], output: Path, geometry: Geometry) -> Search:
    """Near-duplicate search over parquet files, keeping one of each cluster; one process, `output` a new folder."""
    start_up_s = _timed(lambda: _clusters(pq.read_table(files[0]).slice(0, WARM_UP_DOCUMENTS), geometry))[1]
    (documents, kept, clusters), search_s = _timed(lambda: _search(files, output, geometry))
    of_id = dict(zip(clusters["id"].to_pylist(), clusters["cluster_id"].to_pylist(), strict=True))
    return Search(search_s=search_s, start_up_s=start_up_s, documents=documents, kept=kept, clusters=of_id)


def _search(files: Sequence[Path], output: Path, geometry: Geometry) -> tuple[int, int, pa.Table]:
    """(documents read, documents written, clusters)."""
    table = pa.concat_tables(pq.read_table(path) for path in files)
    clusters = _clusters(table, geometry)
    copies = clusters.filter(pc.not_equal(clusters["id"], clusters["representative_id"]))["id"].combine_chunks()
    kept = table.filter(pc.invert(pc.is_in(table["id"], copies)))
    output.mkdir()
    pq.write_table(kept, output / "part-00000.parquet", compression="snappy")  # as datatrove's ParquetWriter does
    return table.num_rows, kept.num_rows, clusters


def _clusters(table: pa.Table, geometry: Geometry) -> pa.Table:
    """Clusters of verified edges; the order is that of the rows."""
    text = table["text"].combine_chunks()
    keys = band_keys(text, geometry)
    buckets = [candidate_groups(np.ascontiguousarray(band)) for band in keys.T]
    order_rank = np.arange(len(text))
    candidates = np.unique(np.concatenate([bucket.members for bucket in buckets]))
    edges = verify(buckets, order_rank, _sets_of(text, candidates, geometry), VerifyRules())
    first = components(len(text), edges.earlier, edges.later)
    clustered = np.flatnonzero(np.bincount(first, minlength=len(text))[first] >= 2)
    ids = table["id"].combine_chunks()
    heads = ids.take(pa.array(first[clustered]))
    return pa.table({"id": ids.take(pa.array(clustered)), "cluster_id": heads, "representative_id": heads})


def _sets_of(text: pa.Array, rows: substrings.Rows, geometry: Geometry) -> ShingleSets:
    """Shingle sets of all rows, empty but for those named."""
    values, offsets = shingle_sets(text.take(pa.array(rows)), geometry)
    sizes = np.zeros(len(text), np.int64)
    sizes[rows] = np.diff(offsets)
    return ShingleSets(values, np.concatenate([[0], np.cumsum(sizes)]))


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


def similar_pairs(path: Path) -> pa.Table:
    """Planted pairs of a similarity of `MIN_JACCARD` or more."""
    pairs = pq.read_table(path)
    return pairs.filter(pc.greater_equal(pairs["jaccard"], MIN_JACCARD))


def recall(pairs: pa.Table, clusters: Mapping[str, object]) -> float:
    """Share of the pairs that are in one cluster; 1 where there are none."""
    ids = zip(pairs["id_a"].to_pylist(), pairs["id_b"].to_pylist(), strict=True)
    found = [a in clusters and clusters[a] == clusters.get(b) for a, b in ids]
    return float(np.mean(found)) if found else 1.0


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
