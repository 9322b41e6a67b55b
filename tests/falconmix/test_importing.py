"""`falconmix import`, as it is typed."""

import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from mixtures.sources.kind import KINDS
from mixtures.tokenizer import train_bpe
from tests.mixtures.sources.imports import imported, write_lines


@pytest.fixture
def samples(repository):
    return repository / "tests" / "data" / "sources"


def shards(folder):
    return {path.name: path.read_bytes() for path in folder.glob("part-*")}


def test_any_number_of_workers_gives_the_same_bytes_once(falconmix, samples, tmp_path):
    command = ("import", "conversations", samples / "reddit", "--output")
    code, out, _ = falconmix(*command, tmp_path / "one", "--workers", 1)
    assert code == 0
    assert out.splitlines()[:2] == [
        "15 records in 2 input(s), 5 documents of 10 of them, 537 bytes of text",
        "  215 of these bytes repeat an earlier thread (column repeated_prefix)",
    ]
    assert "  dropped               2  removed message" in out
    assert "  damaged               1  not JSON" in out
    assert "RC_2019-04.jsonl, byte 2046: not JSON" in out
    code, out, _ = falconmix(*command, tmp_path / "two", "--workers", 2, "--json")
    assert code == 0
    assert json.loads(out)["counts"]["documents"] == 5
    assert shards(tmp_path / "one") == shards(tmp_path / "two") != {}

    code, out, _ = falconmix(*command, tmp_path / "one", "--strict")
    assert code == 1  # something was damaged, then as now
    assert out.splitlines()[0] == f"{tmp_path / 'one'}: this import is finished; nothing to do"

    code, _, error = falconmix(*command, tmp_path / "one", "--set", "min_messages=3")
    assert (code, error.count("\n")) == (2, 1)
    assert "holds an import with another min_messages among its options; give --restart" in error


def test_an_unfinished_import_is_not_tokenised(falconmix, tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"text": "some text"}])
    imported("plain", path, tmp_path / "out")
    (tmp_path / "bpe.json").write_text(train_bpe(["some text"] * 20, 300), encoding="utf-8")
    (tmp_path / "out" / "work").mkdir()
    (tmp_path / "out" / "import.json").rename(tmp_path / "out" / "work" / "begun.json")
    code, _, error = falconmix(
        "tokenize", tmp_path / "out", "--tokenizer", tmp_path / "bpe.json", "--output", tmp_path / "tokens"
    )
    assert (code, error.count("\n")) == (2, 1)
    assert "out: this import is not finished; run `falconmix import` again to finish it" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("stackexchange", "{folder}/nowhere"), "nowhere: no such file or folder; check the path (nothing was done)"),
        (("stackexchang", "{folder}/a.jsonl"), "stackexchang: no such kind of source; did you mean stackexchange?"),
        (("plain", "{folder}/a.jsonl"), "a.jsonl: no column 'text' (it has body); name the one with texts"),
        (("plain", "{folder}/a.jsonl", "--recipe", "{folder}/r.yaml"), "r.yaml: min_char: unknown key; did you mean"),
        (("plain", "{folder}/a.jsonl", "--recipe", "{folder}/no.yaml"), "no.yaml: no such file"),
        (("plain", "{folder}/a.jsonl", "--set", "columns.text"), "--set columns.text: not of the form key=value"),
        (("books", "{folder}/a.jsonl"), "a.jsonl: not an input of this kind; give .txt"),
        (("stackexchange", "{folder}/Posts.xml"), "Posts.xml: which site is this dump of? give --set site="),
        (("stackexchange", "{folder}/x.7z"), "x.7z: archives of this kind are not read; unpack it first (`7z x x.7z`)"),
    ],
)
def test_wrong_usage_is_told_in_one_line_before_any_work(arguments, message, falconmix, tmp_path):
    write_lines(tmp_path / "a.jsonl", [{"body": "x"}])
    (tmp_path / "r.yaml").write_text("min_char: 5\n")
    (tmp_path / "Posts.xml").write_text("<posts></posts>")
    (tmp_path / "x.7z").touch()
    given = [argument.format(folder=tmp_path) for argument in arguments]
    code, out, error = falconmix("import", *given, "--output", tmp_path / "out")
    assert (code, out, error.count("\n")) == (2, "", 1)
    assert error.startswith("falconmix import: ")
    assert message in error
    assert not (tmp_path / "out").exists()


def test_help_names_every_kind(falconmix):
    _, out, _ = falconmix("import", "--help")
    assert all(kind in out for kind in KINDS)


def test_licences_are_kept_and_told(falconmix, tmp_path):
    rows = [
        {
            "content": f"def f{i}():\n    return {i}\n",
            "lang": "Python",
            "max_stars_repo_licenses": [name],
            "hexsha": str(i),
        }
        for i, name in enumerate(["MIT", "GPL-3.0", "Apache-2.0"])
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    _, found = imported("code", tmp_path / "train.parquet", tmp_path / "out")
    assert [document["licence"] for document in found] == ["MIT", "Apache-2.0"]
    code, out, _ = falconmix("import", "code", tmp_path / "train.parquet", "--output", tmp_path / "out", "--strict")
    assert (code, "  dropped               1  licence not wanted" in out) == (0, True)
