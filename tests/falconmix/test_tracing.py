"""`falconmix trace`: from a step of a run to pages and WARC bytes, and from a page to steps."""

import json
import shutil
import zlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from falconmix.cli import main
from mixtures.tokenizer import open_tokenizer, train_bpe
from trainer.trace import Run

MIXTURE = """
name: traced
seed: 3
held_out: 1/20
components:
  - {name: english, kind: english_web, tokens: [RefinedWeb-English], max_epochs: 100}
  - {name: europe, kind: european_web, tokens: [RefinedWeb-Europe/lang=*], max_epochs: 100}
stages:
  - {name: one, context: 64, tokens: 6_000, out_of: 2, weights: {english: 1, europe: 1}}
  - {name: two, context: 128, tokens: 6_000, out_of: 2, weights: {english: 1, europe: 1}}
"""
RECIPE = """
name: traced
mixture: mixture.yaml
seed: 7
threads: 1
micro_batch: 8
held_out_sequences: 0
model: {vocab: 512, hidden: 16, layers: 1, heads: 2, kv_heads: 1, mlp: 32, norm_eps: 1e-5, init_std: 0.05}
optim: {beta1: 0.9, beta2: 0.95, weight_decay: 0.1, clip_norm: 1.0, z_loss: 1e-4}
stages:
  - {name: one, rope_theta: 10_000, tied: true, adam_eps: 1e-8, rate: {peak: 1e-3, floor: 1e-3},
     batch: [{from_tokens: 0, sequences: 6}, {from_tokens: 2_000, sequences: 12}]}
  - {name: two, rope_theta: 10_000, tied: true, adam_eps: 1e-8, rate: {peak: 1e-3, floor: 1e-3},
     batch: [{from_tokens: 0, sequences: 5}]}
checkpoint: {every_steps: 100, keep_last: 2, verify_batches: 2}
"""


@pytest.fixture(scope="module")
def texts(curated_file: Path) -> dict[str, str]:
    """Every published text by its id."""
    tables = [pq.ParquetFile(file).read(["id", "text"]) for file in curated_file.glob("RefinedWeb-*/**/*.parquet")]
    return {row["id"]: row["text"] for table in tables for row in table.to_pylist()}


@pytest.fixture(scope="module")
def run(curated_file: Path, texts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over what was curated, by the commands."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("traced")
    (root / "bpe.json").write_text(train_bpe([texts[name] for name in sorted(texts)], 512), encoding="utf-8")
    (root / "mixture.yaml").write_text(MIXTURE)
    (root / "recipe.yaml").write_text(RECIPE)
    tokens = str(root / "tokens")
    options = ["--tokenizer", str(root / "bpe.json"), "--output", tokens, "--workers", "1"]
    assert main(["tokenize", str(curated_file), *options]) == 0
    assert main(["train", str(root / "recipe.yaml"), "--tokens", tokens, "--output", str(root / "run")]) == 0
    return root / "run"


def traced(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, object]:
    capsys.readouterr()
    code = main(["trace", *map(str, arguments), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("step", [1, 7, 12, 16])
def test_the_documents_of_a_step_are_in_its_batch_and_in_the_crawl(
    run: Path, texts: dict[str, str], sample: Path, step: int, capsys: pytest.CaptureFixture[str]
) -> None:
    code, found = traced(capsys, run, "--step", str(step))
    opened = Run.open(run)
    tokenizer = open_tokenizer(run.parent / "tokens" / "tokenizer.json")
    assert code == 0 and isinstance(found, dict)
    plan = opened.plan.step(step)
    assert (found["first"], found["end"]) == (plan.first, plan.end)
    batch = {p: opened.stream.sequence(p).tokens.tolist() for p in range(plan.first, plan.end)}
    assert sum(document["share"] for document in found["documents"]) == pytest.approx(1)
    for document in found["documents"]:
        text = texts[document["id"]]
        ids = [*tokenizer.encode_batch([text])[0].tolist(), tokenizer.eod_id]
        inside = sum(longest_common(batch[position], ids) for position in document["positions"])
        assert inside >= document["tokens"] > 0
        shown = " ".join(tokenizer.engine.decode(batch[position]) for position in document["positions"])
        assert any(word in shown for word in text.split() if len(word) > 3)
        origin = document["origin"]
        assert origin["url"].encode() in record_at(sample, origin)


def longest_common(window: list[int], ids: list[int]) -> int:
    """Length of the longest stretch of `ids` that stands in `window`."""
    best, row = 0, [0] * (len(ids) + 1)
    for token in window:
        row = [0, *(row[i] + 1 if token == other else 0 for i, other in enumerate(ids))]
        best = max(best, *row)
    return best


def record_at(sample: Path, origin: dict[str, object]) -> bytes:
    with (sample / str(origin["warc_path"])).open("rb") as file:
        file.seek(int(str(origin["warc_offset"])))
        return zlib.decompress(file.read(int(str(origin["warc_length"]))), 31)


def test_ranks_share_a_step(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, whole = traced(capsys, run, "--step", "2")
    parts = [traced(capsys, run, "--step", "2", "--rank", str(rank), "--world", "4")[1] for rank in range(4)]
    assert isinstance(whole, dict)
    positions = [{p for d in part["documents"] for p in d["positions"]} for part in parts if isinstance(part, dict)]
    assert sorted(p for part in positions for p in part) == list(range(whole["first"], whole["end"]))
    assert traced(capsys, run, "--step", "2", "--rank", "0")[1] == whole  # one process trained it


def test_tensor_and_context_ranks_have_their_sequences_together(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spread = tmp_path / "run"
    shutil.copytree(run, spread)
    record = json.loads((spread / "run.json").read_text())
    record["layout"] |= {"tensor": 2, "context": 2}
    (spread / "run.json").write_text(json.dumps(record))
    parts = [traced(capsys, spread, "--step", "2", "--rank", str(rank), "--world", "8")[1] for rank in range(8)]
    halves = [traced(capsys, run, "--step", "2", "--rank", str(rank), "--world", "2")[1] for rank in range(2)]
    assert parts == [halves[0]] * 4 + [halves[1]] * 4
    code = main(["trace", str(spread), "--step", "2", "--rank", "1", "--world", "6"])
    assert code == 2 and "is 4 processes, but there are 6" in capsys.readouterr().err


def test_a_page_leads_to_the_steps_that_see_it(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    opened = Run.open(run)
    steps: dict[str, set[int]] = {}
    urls: dict[str, str] = {}
    for step in range(1, len(opened.plan) + 1):
        _, found = traced(capsys, run, "--step", str(step))
        assert isinstance(found, dict)
        for document in found["documents"]:
            urls[document["id"]] = document["origin"]["url"]
            steps.setdefault(document["id"], set()).add(step)
    for document_id, url in list(urls.items())[::5]:
        code, found = traced(capsys, run, "--url", url.replace("https://", "HTTPS://") + "#top")
        assert code == 0 and isinstance(found, list)
        (sighting,) = [one for one in found if one["id"] == document_id]
        assert sighting["steps"] == sorted(steps[document_id])
    code, found = traced(capsys, run, "--url", "https://nowhere.example/")
    assert (code, found) == (1, [])


def test_what_is_printed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(run), "--step", "1"]) == 0
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("step 1 (one): sequences 0 to 5 of 64 tokens, ")
    assert "%" in second and "http" in second and ".warc.gz bytes " in second
    url = next(word for word in second.split() if word.startswith("http"))
    assert main(["trace", str(run), "--url", url]) == 0
    assert "step(s): " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--step", "999"], "step 999: the run has the steps 1 to "),
        (["--step", "1", "--rank", "4", "--world", "4"], "--rank 4: there are 4 processes, 0 to 3"),
        (["--step", "1", "--world", "4"], "--world says of how many processes --rank is one; give --rank"),
        (["--url", "https://a.example/", "--rank", "1"], "--rank, --world and --passed-over go with --step"),
        (["--step", "1", "--passed-over"], "step 1: the run has not gone back from it"),
        (["--step", "1", "--tokens", "/nonexistent"], "no such file; make it with `falconmix tokenize"),
    ],
)
def test_refusals(run: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(run), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", str(tmp_path), "--step", "1"]) == 2
    assert "holds no run (run.json is missing)" in capsys.readouterr().err
