"""Invariant 6 across both arms: from the tokens of a training sequence back to the bytes of a WARC file."""

import zlib

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml

from mixtures.shards import finish, install_tokenizer, plan_tokenize
from mixtures.spec import load_mixture
from mixtures.stream import Stream
from mixtures.tokenization import tokenize_shard
from mixtures.tokenizer import open_tokenizer, train_bpe
from pipeline.why import why

MIXTURE = {
    "name": "lineage",
    "seed": 3,
    "held_out": "1/20",
    "components": [
        {"name": "english", "kind": "english_web", "tokens": ["RefinedWeb-English"], "max_epochs": 100},
        {"name": "europe", "kind": "european_web", "tokens": ["RefinedWeb-Europe/lang=*"], "max_epochs": 100},
    ],
    "stages": [
        {"name": "one", "context": 64, "tokens": 4096, "out_of": 2, "weights": {"english": 1, "europe": 1}},
    ],
}


@pytest.fixture(scope="module")
def output(curated_file):
    return curated_file


@pytest.fixture(scope="module")
def tokens(output, tmp_path_factory):
    root = tmp_path_factory.mktemp("tokens")
    texts = [text for file in output.glob("RefinedWeb-*/**/*.parquet") for text in pq.ParquetFile(file).read()["text"]]
    (root / "trained.json").write_text(train_bpe([text.as_py() for text in texts], 512), encoding="utf-8")
    tokenizer = open_tokenizer(root / "trained.json")
    jobs = plan_tokenize([output], root / "tokens", tokenizer)
    install_tokenizer(tokenizer, root / "tokens")
    for job in jobs:
        tokenize_shard(job)
    finish(jobs, root / "tokens")
    return root / "tokens"


@pytest.fixture(scope="module")
def stream(tokens):
    file = tokens / "mixture.yaml"
    file.write_text(yaml.safe_dump(MIXTURE))
    return Stream.open(load_mixture(file), tokens)


def test_every_token_of_a_sequence_leads_to_a_published_text_and_its_warc_record(stream, output, tokens, sample):
    decode = open_tokenizer(tokens / "tokenizer.json")
    for position in range(0, len(stream), 7):
        sequence = stream.sequence(position)
        documents = stream.documents(position)
        assert sum(part.end - part.first for part in documents) == len(sequence.tokens)
        for part in documents:
            (entry,) = why(output, part.part.id)
            assert entry["outcome"] == "published"
            assert entry["url"].encode() in record_at(sample, entry)
        texts = [entry["text"] for part in documents for entry in why(output, part.part.id)]
        assert is_cut_from(sequence.tokens, texts, decode)


def record_at(sample, entry):
    with (sample / entry["warc_path"]).open("rb") as file:
        file.seek(entry["warc_offset"])
        return zlib.decompress(file.read(entry["warc_length"]), 31)


def is_cut_from(window, texts, tokenizer):
    """Whether the window is a run of the texts' tokens, each followed by the end-of-document token."""
    encoded = tokenizer.encode_batch(texts)
    joined = np.concatenate([np.append(ids, tokenizer.eod_id) for ids in encoded]).astype(np.int64)
    views = np.lib.stride_tricks.sliding_window_view(joined, len(window))
    return bool((views == window).all(axis=1).any())
