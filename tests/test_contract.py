"""The one test that sees both arms: what curation publishes is what mixtures read, by the names of its columns."""

import inspect

import pyarrow as pa
import pytest
from pyarrow import parquet

from mixtures.document_index import open_documents
from mixtures.documents import JSON_COLUMNS, REPEATED, read_documents
from mixtures.shards import install_tokenizer, plan_tokenize
from mixtures.sources.document import Document
from mixtures.sources.writing import ADDED, SHARED, write_shards
from mixtures.tokenization import Rules, tokenize_shard
from mixtures.tokenizer import open_tokenizer, train_bpe
from mixtures.tokens import open_tokens
from pipeline.shards import document_shards
from pipeline.store import ROWS_PER_GROUP, Store
from stages.schema import DOCUMENT

COLUMNS = ("id", "text")
TEXTS = ["One text, in English.", "", "Ein deutscher Text.", "trois mots français", "<|endoftext|> is only text"]


def document(i):
    """Row number `i`, with a value in every column that may not be null."""
    values = {
        field.name: [] if pa.types.is_list(field.type) else "x" if pa.types.is_string(field.type) else 1
        for field in DOCUMENT
        if not field.nullable
    }
    return values | {"id": f"{i:032x}", "text": TEXTS[i % len(TEXTS)]}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A run's folder with one shard a dataset; the English one is longer than a row group."""
    store = Store(tmp_path_factory.mktemp("out"))
    for shard in document_shards({"en": 1, "de": 1}):
        rows = [document(i) for i in range(ROWS_PER_GROUP + 50 if shard.language == "en" else 7)]
        store.write_table(shard.name, pa.Table.from_pylist(rows, DOCUMENT), DOCUMENT)
    return store.root


def test_the_columns_that_mixtures_read_are_declared_as_text():
    assert [DOCUMENT.field(name).type for name in COLUMNS] == [pa.string()] * 2
    assert not any(DOCUMENT.field(name).nullable for name in COLUMNS)
    defaults = inspect.signature(read_documents).parameters
    assert (defaults["id_column"].default, defaults["text_column"].default) == COLUMNS
    assert (Rules.id_column, Rules.text_column) == COLUMNS


def test_every_published_id_is_found_in_the_token_files(published, tmp_path):
    (tmp_path / "bpe.json").write_text(train_bpe(TEXTS * 20, 300), encoding="utf-8")
    tokenizer = open_tokenizer(tmp_path / "bpe.json")
    install_tokenizer(tokenizer, tmp_path / "tokens")
    jobs = plan_tokenize([published], tmp_path / "tokens", tokenizer)
    names = [job.output.relative_to(tmp_path / "tokens").as_posix() for job in jobs]
    assert names == ["RefinedWeb-English/part-00000.tokens", "RefinedWeb-Europe/lang=de/part-00000.tokens"]
    for job, n_documents in zip(jobs, (ROWS_PER_GROUP + 50, 7), strict=True):
        assert tokenize_shard(job).documents == n_documents
        file = open_tokens(job.output)
        documents = open_documents(job.output, file.header)
        assert [documents.id(i) for i in range(n_documents)] == [f"{i:032x}" for i in range(n_documents)]
        for i in (0, 1, 2, n_documents - 1):
            start = int(documents.starts[i])
            end = int(documents.starts[i + 1]) if i + 1 < n_documents else file.header.tokens
            expected = tokenizer.encode_batch([TEXTS[i % len(TEXTS)]])[0]
            assert file.tokens[start:end].tolist() == [*expected.tolist(), tokenizer.eod_id]


def test_what_importers_write_has_the_names_and_types_of_published_documents(tmp_path):
    names, _ = write_shards([Document(key=("1",), text="x", source="s")], "plain", tmp_path, "part-00000")
    schema = parquet.read_schema(tmp_path / names[0])
    assert schema.names == [field.name for field in (*SHARED, *ADDED)]
    for field in SHARED:
        assert schema.field(field.name).type == field.type == DOCUMENT.field(field.name).type
    assert not {field.name for field in ADDED} & set(DOCUMENT.names)
    assert {REPEATED, "source", "licence", "title"} <= {field.name for field in ADDED}
    for field in JSON_COLUMNS:
        assert schema.field(field.name).type == field.type
    assert {"id", "text", "url", "language", "crawl", "fetch_time", "warc_path"} <= {field.name for field in SHARED}
