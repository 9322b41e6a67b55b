"""Train the demo's tokenizer: a small byte-level BPE with Falcon's pre-tokenizer, on what curation kept.

python examples/train_tokenizer.py OUT CORPORA --output tokenizer.json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from mixtures.tokenizer import train_bpe

VOCABULARY = 1024


def texts(folders: list[Path]) -> Iterator[str]:
    """All published documents and JSONL texts below `folders`, in order of their names."""
    for folder in folders:
        for file in sorted([*folder.glob("RefinedWeb-*/**/*.parquet"), *folder.glob("*.jsonl")]):
            if file.suffix == ".parquet":
                yield from pq.ParquetFile(file).read(columns=["text"])["text"].to_pylist()
            else:
                yield from (json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="curation runs, or folders of JSONL files")
    parser.add_argument("--output", required=True, type=Path, help="the tokenizer.json to write")
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY, help="number of tokens")
    options = parser.parse_args()
    content = train_bpe(texts(options.folders), options.vocabulary)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(content, encoding="utf-8")
    print(f"{options.output}: {options.vocabulary} tokens")


if __name__ == "__main__":
    main()
