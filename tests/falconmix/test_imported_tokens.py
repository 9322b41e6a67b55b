"""What was imported, tokenised: repeated beginnings of threads are passed over, and what is known stays beside."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from falconmix.cli import main
from mixtures.columns import columns_path, read_row
from mixtures.document_index import open_documents
from mixtures.tokenizer import open_tokenizer, train_bpe
from mixtures.tokens import open_tokens


def test_threads_of_a_tree_are_learnt_once(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees = repository / "tests" / "data" / "sources" / "oasst_trees.jsonl"
    assert main(["import", "conversations", str(trees), "--output", str(tmp_path / "talk"), "--workers", "1"]) == 0
    rows = [row for file in sorted((tmp_path / "talk").glob("*.parquet")) for row in pq.read_table(file).to_pylist()]
    (tmp_path / "bpe.json").write_text(train_bpe([row["text"] for row in rows], 400), encoding="utf-8")
    options = ["--tokenizer", str(tmp_path / "bpe.json"), "--output", str(tmp_path / "t"), "--workers", "1"]
    capsys.readouterr()
    assert main(["tokenize", str(tmp_path / "talk"), *options, "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["tokens"]) == ["talk"]
    tokenizer = open_tokenizer(tmp_path / "t" / "tokenizer.json")
    found = {}
    for path in sorted((tmp_path / "t").rglob("*.tokens")):
        file = open_tokens(path)
        documents = open_documents(path, file.header)
        for number in range(len(documents)):
            first, end = documents.span(number)
            learnt = file.tokens[first + int(documents.skipped[number]) : end - 1].tolist()
            found[documents.id(number)] = tokenizer.engine.decode(learnt)
            assert read_row(columns_path(path), number)["source"]
    repeated = [row for row in rows if row["repeated_prefix"]]
    assert repeated and set(found) == {row["id"] for row in rows}
    for row in rows:
        rest = row["text"].encode()[row["repeated_prefix"] or 0 :].decode()
        # A token that begins within the repeated part and ends behind it is learnt.
        assert found[row["id"]].endswith(rest) and len(found[row["id"]]) <= len(rest) + 8
