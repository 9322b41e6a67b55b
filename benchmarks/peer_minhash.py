"""datatrove's side of `benchmarks/dedup.py`; runs in the peers' own environment (`make bench-env`).

    build/bench-env/bin/python benchmarks/peer_minhash.py settings.json

First the signatures alone: shingles and minima of every text in memory, nothing written (`signature_s`). Then its four
blocks, MinhashDedupSignature, -Buckets, -Cluster and -Filter, each by `LocalPipelineExecutor` with one worker, from the
parquet files to parquet files of what is kept (`search_s`). Geometry, hash and normalisation are datatrove's defaults:
14 × 8 over 5-grams of words. Clusters are read off its files after the clock has stopped.

Settings: `documents` (a folder of parquet files), `work` (a scratch folder), `output` (the file to write), `words`
(`spacy`: datatrove's tokenizer for its default language; `spaces`: runs of non-white characters).
"""

from __future__ import annotations

import json
import resource
import struct
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.readers import ParquetReader
from datatrove.pipeline.writers import ParquetWriter

from peer_words import SpacedWords


def main() -> None:
    settings: dict[str, str] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    work, documents = Path(settings["work"]), Path(settings["documents"])
    tables = [pq.read_table(path, columns=["id", "text"]) for path in sorted(documents.glob("*.parquet"))]
    texts = [text for table in tables for text in table["text"].to_pylist()]
    ids = [one for table in tables for one in table["id"].to_pylist()]
    block = signature_block(work, settings["words"])
    block.get_signature(block.get_shingles(texts[0]))  # makes the tokenizer
    start_up_s = cpu_s()
    for text in texts:
        block.get_signature(block.get_shingles(text))
    signature_s = cpu_s() - start_up_s
    del texts
    started_s = cpu_s()
    search(documents, work, block)
    figures = {
        "start_up_s": start_up_s,
        "signature_s": signature_s,
        "search_s": cpu_s() - started_s,
        "documents": len(ids),
        "kept": sum(pq.read_metadata(path).num_rows for path in (work / "kept").glob("*.parquet")),
        "clusters": clusters(work / "clusters", ids),
    }
    Path(settings["output"]).write_text(json.dumps(figures), encoding="utf-8")


def signature_block(work: Path, words: str) -> MinhashDedupSignature:
    """The first block, with the words asked for."""
    block = MinhashDedupSignature(output_folder=str(work / "signatures"))
    if words == "spaces":
        block.word_tokenizer = SpacedWords()
    return block


def search(documents: Path, work: Path, signature: MinhashDedupSignature) -> None:
    """The four blocks, one after the other."""
    reader = ParquetReader(str(documents), text_key="text", id_key="id")
    buckets = MinhashDedupBuckets(input_folder=str(work / "signatures"), output_folder=str(work / "buckets"))
    cluster = MinhashDedupCluster(
        input_folder=str(work / "buckets"), output_folder=str(work / "clusters"), save_cluster_id=True
    )
    keep = MinhashDedupFilter(input_folder=str(work / "clusters"))
    writer = ParquetWriter(str(work / "kept"))
    steps: list[tuple[list[Any], int]] = [
        ([reader, signature], 1),
        ([buckets], signature.config.num_buckets),
        ([cluster], 1),
        ([reader, keep, writer], 1),
    ]
    for i, (pipeline, tasks) in enumerate(steps):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=str(work / f"logs-{i}")).run()


def clusters(folder: Path, ids: list[str]) -> dict[str, int]:
    """Cluster by id, of documents that have one; the files hold pairs (document number, cluster)."""
    return {
        ids[document]: cluster
        for path in folder.glob("*.clusters")
        for document, cluster in struct.iter_unpack("<2I", path.read_bytes())
    }


def cpu_s() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main()
