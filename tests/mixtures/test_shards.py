import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pytest
from pyarrow import parquet

from mixtures.catalogue import read_catalogue
from mixtures.columns import columns_path, read_columns, read_row
from mixtures.decontamination.decontaminate import plan_decontamination
from mixtures.decontamination.hits import hits_path
from mixtures.document_index import documents_path, open_documents, url_key
from mixtures.errors import InputError, TokenFileError, TokenizerError
from mixtures.shards import finish, install_tokenizer, is_done, plan_tokenize
from mixtures.tokenization import Rules, TokenizeJob, tokenize_shard
from mixtures.tokenizer import Tokenizer, open_tokenizer, train_bpe
from mixtures.tokens import open_tokens

TEXTS = {"en": ["One fine day.", "Two <|endoftext|> more"], "de": ["Ein schöner Tag."], "fr": ["Un beau jour.", ""]}


@pytest.fixture
def tokenizer(bpe_file: Path) -> Tokenizer:
    return open_tokenizer(bpe_file)


def write_parquet(path: Path, texts: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [hashlib.md5(text.encode()).hexdigest() for text in texts]
    parquet.write_table(pa.table({"id": ids, "text": texts}), path)
    return path


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The output of curate, other folders included."""
    out = tmp_path / "out"
    write_parquet(out / "RefinedWeb-English" / "part-00000.parquet", TEXTS["en"])
    for language in ("de", "fr"):
        write_parquet(out / "RefinedWeb-Europe" / f"lang={language}" / "part-00000.parquet", TEXTS[language])
    write_parquet(out / "rejected" / "stage=quality" / "part-00000.parquet", ["bad"])
    return out


def tokenized(inputs: list[Path], root: Path, tokenizer: Tokenizer) -> list[TokenizeJob]:
    install_tokenizer(tokenizer, root)
    jobs = plan_tokenize(inputs, root, tokenizer)
    for job in jobs:
        tokenize_shard(job)
    finish(jobs, root)
    return jobs


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_published_sets_keep_their_folders_and_nothing_else_is_taken(
    out: Path, tmp_path: Path, tokenizer: Tokenizer
) -> None:
    tokenized([out], tmp_path / "t", tokenizer)
    catalogue = read_catalogue(tmp_path / "t")
    assert list(catalogue.folders) == ["RefinedWeb-English", "RefinedWeb-Europe/lang=de", "RefinedWeb-Europe/lang=fr"]
    assert (catalogue.tokenizer, catalogue.vocab_size, catalogue.eod_id) == (tokenizer.digest, 400, 11)
    assert [(s.file, s.source, s.documents) for s in catalogue.folders["RefinedWeb-English"]] == [
        ("part-00000.tokens", "part-00000.parquet", 2)
    ]
    assert open_tokenizer(tmp_path / "t" / "tokenizer.json").digest == tokenizer.digest


def test_tokens_decode_to_the_documents(out: Path, tmp_path: Path, tokenizer: Tokenizer) -> None:
    for job in tokenized([out], tmp_path / "t", tokenizer):
        file, table = open_tokens(job.output), parquet.read_table(job.source, partitioning=None)
        documents = open_documents(job.output, file.header)
        assert [documents.id(i) for i in range(len(documents.starts))] == table["id"].to_pylist()
        ends = [*documents.starts[1:].tolist(), len(file.tokens)]
        for start, end, text in zip(documents.starts.tolist(), ends, table["text"].to_pylist(), strict=True):
            assert file.tokens[end - 1] == 11
            assert 11 not in file.tokens[start : end - 1]
            assert tokenizer.engine.decode(file.tokens[start : end - 1].tolist()) == text


def test_folders_and_files_name_their_token_folders(
    out: Path, tmp_path: Path, tokenizer: Tokenizer, write_jsonl: Callable[..., Path]
) -> None:
    code = write_jsonl(tmp_path / "in" / "code.jsonl", [{"text": "x = 1"}])
    books = write_parquet(tmp_path / "in" / "books" / "b.parquet", ["A book."]).parent
    write_parquet(books / "sub" / "c.parquet", ["Another."])
    jobs = plan_tokenize([code, books, out / "RefinedWeb-Europe"], tmp_path / "t", tokenizer)
    assert [job.output.relative_to(tmp_path / "t").as_posix() for job in jobs] == [
        "RefinedWeb-Europe/lang=de/part-00000.tokens",
        "RefinedWeb-Europe/lang=fr/part-00000.tokens",
        "books/b.tokens",
        "books/sub/c.tokens",
        "code/code.tokens",
    ]


def test_same_bytes_in_any_order_and_under_any_hash_seed(
    out: Path, tmp_path: Path, tokenizer: Tokenizer, repository: Path
) -> None:
    tokenized([out], tmp_path / "a", tokenizer)
    install_tokenizer(tokenizer, tmp_path / "b")
    jobs = plan_tokenize([out], tmp_path / "b", tokenizer)
    program = (
        "import sys; from pathlib import Path; from mixtures.shards import *; from mixtures.tokenization import *;"
        "from mixtures.tokenizer import *; p = [Path(a) for a in sys.argv[1:]];"
        "jobs = plan_tokenize([p[0]], p[1], open_tokenizer(p[1] / 'tokenizer.json'))[::-1];"
        "[tokenize_shard(j) for j in jobs]; finish(jobs, p[1])"
    )
    command = [sys.executable, "-c", program, str(out), str(tmp_path / "b")]
    subprocess.run(command, cwd=repository, env=os.environ | {"PYTHONHASHSEED": "77"}, check=True)
    assert len(jobs) == 3
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_done_follows_the_input_and_the_tokenizer(out: Path, tmp_path: Path, tokenizer: Tokenizer) -> None:
    (job, *_) = jobs = tokenized([out], tmp_path / "t", tokenizer)
    assert all(is_done(job) for job in jobs)
    write_parquet(job.source, ["Changed."])
    assert [is_done(job) for job in jobs] == [False, True, True]
    tokenize_shard(job)
    assert is_done(job)
    documents_path(job.output).unlink()
    assert not is_done(job)
    tokenize_shard(job)
    job.output.write_bytes(job.output.read_bytes()[:-1])
    assert not is_done(job)
    with pytest.raises(TokenFileError, match="cut short"):
        finish(jobs, tmp_path / "t")


def test_a_second_run_adds_its_folders(
    out: Path, tmp_path: Path, tokenizer: Tokenizer, write_jsonl: Callable[..., Path]
) -> None:
    tokenized([out], tmp_path / "t", tokenizer)
    tokenized([write_jsonl(tmp_path / "code.jsonl", [{"text": "x = 1"}])], tmp_path / "t", tokenizer)
    assert list(read_catalogue(tmp_path / "t").folders) == [
        "RefinedWeb-English",
        "RefinedWeb-Europe/lang=de",
        "RefinedWeb-Europe/lang=fr",
        "code",
    ]


def test_another_tokenizer_is_refused(out: Path, tmp_path: Path, tokenizer: Tokenizer) -> None:
    (job, *_) = tokenized([out], tmp_path / "t", tokenizer)
    (tmp_path / "other.json").write_text(train_bpe(TEXTS["en"], 300))
    other = open_tokenizer(tmp_path / "other.json")
    with pytest.raises(TokenizerError, match="holds tokens of another tokenizer; give another --output or delete it"):
        install_tokenizer(other, tmp_path / "t")
    job.tokenizer.write_text(other.content)
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: changed since the job was planned; plan again"):
        tokenize_shard(job)


def test_a_failing_shard_leaves_no_file(tmp_path: Path, tokenizer: Tokenizer) -> None:
    source = tmp_path / "bad.jsonl"
    source.write_text('{"text": "fine"}\n{"text": 3}\n')
    install_tokenizer(tokenizer, tmp_path / "t")
    (job,) = plan_tokenize([source], tmp_path / "t", tokenizer)
    with pytest.raises(InputError, match=r"bad\.jsonl:2: no text"):
        tokenize_shard(job)
    assert list(files(tmp_path / "t")) == ["tokenizer.json"]


def test_inputs_that_cannot_be_planned(tmp_path: Path, tokenizer: Tokenizer, write_jsonl: Callable[..., Path]) -> None:
    def plan(*inputs: Path) -> None:
        plan_tokenize(inputs, tmp_path / "t", tokenizer)

    with pytest.raises(InputError, match="missing: no such file or folder; give the output"):
        plan(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: holds no shards \(\.parquet"):
        plan(tmp_path / "empty")
    (tmp_path / "x.csv").touch()
    with pytest.raises(InputError, match=r"x\.csv: not a kind of file"):
        plan(tmp_path / "x.csv")
    one, two = (write_jsonl(tmp_path / name / "code.jsonl", [{"text": "x"}]) for name in ("a", "b"))
    with pytest.raises(InputError, match=r"would both become .*code\.tokens; rename one"):
        plan(one, two)


def test_repeated_beginnings_become_tokens_that_the_loss_passes_over(
    tmp_path: Path, tokenizer: Tokenizer, write_jsonl: Callable[..., Path]
) -> None:
    thread = "One fine day. Ein schöner Tag. Two more"
    cuts = [0, len("One fine"), len("One fine day. Ein schö".encode()), len(thread.encode())]
    rows = [{"id": str(cut), "text": thread, "repeated_prefix": cut} for cut in cuts]
    (job,) = tokenized(
        [write_jsonl(tmp_path / "talk.jsonl", [*rows, {"id": "none", "text": "x"}])], tmp_path / "t", tokenizer
    )
    documents = open_documents(job.output, open_tokens(job.output).header)
    ids = tokenizer.encode_batch([thread])[0].tolist()
    for number, cut in enumerate(cuts):
        n = int(documents.skipped[number])
        assert len(tokenizer.engine.decode(ids[:n]).encode()) <= cut
        assert n == len(ids) or len(tokenizer.engine.decode(ids[: n + 1]).encode()) > cut
    assert [int(n) for n in documents.skipped[[0, 3, 4]]] == [0, len(ids), 0]
    catalogue = read_catalogue(tmp_path / "t")
    assert catalogue.folders["talk"][0].skipped == int(documents.skipped.sum())
    bad = write_jsonl(tmp_path / "bad.jsonl", [{"id": "x", "text": "schön", "repeated_prefix": 4}])
    (job,) = plan_tokenize([bad], tmp_path / "t", tokenizer)
    with pytest.raises(InputError, match="document x: repeated_prefix is 4, which ends outside its text or inside"):
        tokenize_shard(job)


def test_what_is_known_of_documents_stays_beside_their_tokens(tmp_path: Path, tokenizer: Tokenizer) -> None:
    path = tmp_path / "in" / "a.parquet"
    path.parent.mkdir()
    urls = ["http://b.example/", None, "http://a.example/", "http://b.example/"]
    table = {"id": list("wxyz"), "text": ["a", "b", "c", "d"], "url": urls, "score": [0.5, None, 1.5, 2.0]}
    parquet.write_table(pa.table(table), path)
    (job,) = tokenized([path], tmp_path / "t", tokenizer)
    documents = open_documents(job.output, open_tokens(job.output).header)
    for url, numbers in (("http://b.example/", [0, 3]), ("http://a.example/", [2]), ("http://c.example/", [])):
        key = url_key(url)
        assert key is not None and documents.with_url_key(key) == numbers
    assert read_row(columns_path(job.output), 2) == {"id": "y", "url": "http://a.example/", "score": 1.5}
    assert read_columns(columns_path(job.output), ["score", "other"]).to_pydict() == {"score": [0.5, None, 1.5, 2.0]}
    columns_path(job.output).unlink()
    assert not is_done(job)


@pytest.mark.parametrize("on_hit", ["drop", "mask"])
def test_documents_that_share_ngrams_with_evaluation_sets(
    tmp_path: Path, tokenizer: Tokenizer, write_jsonl: Callable[..., Path], on_hit: Literal["drop", "mask"]
) -> None:
    item = "the lamplighter counted nine and twenty windows before the snow began to fall"
    (tmp_path / "set.txt").write_text(item)
    texts = ["A day.", f"So {item}, they say.", "Another day."]
    source = write_jsonl(tmp_path / "d.jsonl", [{"id": str(i), "text": text} for i, text in enumerate(texts)])
    rules = Rules(decontamination=plan_decontamination([tmp_path / "set.txt"], on_hit=on_hit))
    install_tokenizer(tokenizer, tmp_path / "t")
    (job,) = plan_tokenize([source], tmp_path / "t", tokenizer, rules)
    tokenize_shard(job)
    documents = open_documents(job.output, open_tokens(job.output).header)
    ids = [documents.id(i) for i in range(len(documents))]
    assert ids == (["0", "2"] if on_hit == "drop" else ["0", "1", "2"])
    assert read_columns(columns_path(job.output), ["id"])["id"].to_pylist() == ids
    masked = [i for i in range(len(ids)) if documents.skipped[i]]
    assert [ids[i] for i in masked] == ([] if on_hit == "drop" else ["1"])
    assert all(int(documents.skipped[i]) == documents.span(i)[1] - documents.span(i)[0] for i in masked)
    rows = parquet.read_table(hits_path(job.output)).to_pylist()
    assert {(row["id"], row["action"]) for row in rows} == {("1", on_hit)}
    assert is_done(job)
    (plain,) = plan_tokenize([source], tmp_path / "t", tokenizer)
    assert not is_done(plain)
    hits_path(job.output).unlink()
    assert not is_done(job)


def test_a_masked_document_does_not_mask_another_of_the_same_id(
    tmp_path: Path, tokenizer: Tokenizer, write_jsonl: Callable[..., Path]
) -> None:
    item = "the lamplighter counted nine and twenty windows before the snow began to fall"
    (tmp_path / "set.txt").write_text(item)
    source = write_jsonl(tmp_path / "d.jsonl", [{"id": "a", "text": text} for text in ("A day.", item, "A night.")])
    rules = Rules(decontamination=plan_decontamination([tmp_path / "set.txt"], on_hit="mask"))
    install_tokenizer(tokenizer, tmp_path / "t")
    (job,) = plan_tokenize([source], tmp_path / "t", tokenizer, rules)
    tokenize_shard(job)
    documents = open_documents(job.output, open_tokens(job.output).header)
    assert [skipped > 0 for skipped in documents.skipped.tolist()] == [False, True, False]


def test_json_lines_keep_what_recipes_choose_by(
    tmp_path: Path, tokenizer: Tokenizer, write_jsonl: Callable[..., Path]
) -> None:
    rows = [{"text": "a", "language": "en", "language_score": score} for score in (0.75, 1, "high", None, True)]
    (job,) = tokenized([write_jsonl(tmp_path / "d.jsonl", rows)], tmp_path / "t", tokenizer)
    kept = read_columns(columns_path(job.output), ["language", "language_score"]).to_pydict()
    assert kept == {"language": ["en"] * 5, "language_score": [0.75, 1.0, None, None, None]}
