import pickle
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.writers.parquet import ParquetWriter

from falconmix.interop.datatrove import StageStep, apply, text_stage
from pipeline import recipe
from pipeline.tools import text_rules
from stages.decide import decide
from stages.language import LanguageRules, filter_language
from stages.rules import apply_rules, load_rules
from stages.schema import PAGE, SIGNAL_NAMES
from stages.signals import add_signals, compute
from stages.stop_words import load_stop_words

SENTENCES = (
    "The harbour lies behind the old mill, and every morning the boats go out before it is light.",
    "In the evening they come back with what they have caught, which is less from year to year.",
    "My grandfather mended nets for most of his life and never learned to swim.",
    "You can write to joe@harbour-museum.com if you would like to see the workshop.",
)
GOOD = "\n".join(SENTENCES)


def documents():
    texts = {
        "good": GOOD,
        "short": " ".join(SENTENCES[:2]),
        "repeated": "\n".join([SENTENCES[0]] * 12),
        "foreign": "うみ" * 80,
    }
    languages = {"foreign": "ja"}
    return [
        Document(
            text=text,
            id=name,
            metadata={"url": f"http://a.example/{name}", "language": languages.get(name, "en"), "language_score": 0.9},
        )
        for name, text in texts.items()
    ]


def run(steps, tmp_path, name="out"):
    kept = ParquetWriter(str(tmp_path / name), compression="zstd")
    LocalPipelineExecutor([documents(), *steps, kept], logging_dir=str(tmp_path / "logs" / name)).run()
    return pq.read_table(tmp_path / name, partitioning=None).to_pylist()


def test_a_whole_recipe_is_one_step(tmp_path):
    excluded = ParquetWriter(str(tmp_path / "excluded"), compression="zstd")
    (row,) = run([StageStep(text_stage("refinedweb"), exclusion_writer=excluded)], tmp_path)
    assert row["id"] == "good"
    assert "joe@" not in row["text"]
    assert SENTENCES[0] in row["text"]
    signals = compute(pa.array([GOOD]), pa.array(["en"]), load_stop_words())
    assert {name: row["metadata"][name] for name in SIGNAL_NAMES} == {
        name: values[0].as_py() for name, values in signals.items()
    }
    dropped = pq.read_table(tmp_path / "excluded", partitioning=None).to_pylist()
    assert {row["id"]: row["metadata"]["filter_reason"] for row in dropped} == {
        "short": "quality:too_few_words",
        "repeated": "repetition:duplicate_lines",
        "foreign": "language_filter:unwanted_language",
    }
    by_id = {row["id"]: row["metadata"] for row in dropped}
    assert (by_id["short"]["filter_value"], by_id["short"]["filter_threshold"]) == (
        len(" ".join(SENTENCES[:2]).split()),
        50,
    )


def test_single_stages_hand_signals_on(tmp_path):
    steps = [
        StageStep(partial(filter_language, rules=LanguageRules(languages=("en",)))),
        StageStep(partial(add_signals, stop_words=load_stop_words()), batch_size=1),
        StageStep(partial(apply_rules, rules=load_rules("gopher_quality"), column="quality"), batch_size=2),
    ]
    assert [row["id"] for row in run(steps, tmp_path)] == ["good", "repeated"]


@pytest.mark.parametrize("batch_size", [1, 3, 256])
def test_batches_change_no_result(batch_size):
    step = StageStep(text_stage("refinedweb"), batch_size=batch_size)
    assert [document.id for document in step.run(iter(documents()))] == ["good"]


def test_it_decides_as_curate_does(shared_data):
    import json

    lines = (shared_data / "gold" / "pages.jsonl").read_text(encoding="utf-8").splitlines()[:200]
    gold = [row for row in map(json.loads, lines) if row.get("gold") and row.get("lang")]
    docs = [
        Document(text=row["gold"], id=row["id"], metadata={"language": row["lang"], "language_score": 1.0})
        for row in gold
    ]
    pages = [
        {"id": row["id"], "url": "", "warc_path": "", "warc_offset": 0, "warc_length": 0, "crawl": "", "opt_out": []}
        | {"text": row["gold"], "language": row["lang"], "language_score": 1.0}
        for row in gold
    ]
    decided = decide(pa.RecordBatch.from_pylist(pages, PAGE), text_rules(recipe.load("refinedweb"))).pages.to_pylist()
    expected = [row["verdict"] and f"{row['verdict_stage']}:{row['verdict']['rule']}" for row in decided]
    assert apply(text_stage("refinedweb"), docs) == expected
    assert len(docs) > 50
    kept = [
        (doc.text, row["corrected"]) for doc, row in zip(docs, decided, strict=True) if row["corrected"] is not None
    ]
    assert all(ours == theirs for ours, theirs in kept)


def test_missing_metadata_is_no_error_and_unknown_metadata_stays():
    document = Document(text=GOOD, id="x", metadata={"mine": [1]})
    (reason,) = apply(partial(add_signals, stop_words=load_stop_words()), [document])
    assert reason is None
    assert document.metadata["mine"] == [1]
    assert document.metadata["n_words"] == len(GOOD.split())


def test_a_step_can_be_sent_to_another_process():
    step = pickle.loads(pickle.dumps(StageStep(text_stage("refinedweb"))))
    assert [document.id for document in step.run(iter(documents()))] == ["good"]
