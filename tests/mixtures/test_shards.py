import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from mixtures.catalogue import read_catalogue
from mixtures.document_index import documents_path, open_documents
from mixtures.errors import InputError, TokenFileError, TokenizerError
from mixtures.shards import TokenizeJob, finish, install_tokenizer, is_done, plan_tokenize, tokenize_shard
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
        "import sys; from pathlib import Path; from mixtures.shards import *; p = [Path(a) for a in sys.argv[1:]];"
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
