"""The demo's model on real text, beside what counting pairs of tokens gives: minutes on a busy core."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import yaml

from mixtures.shards import finish, install_tokenizer, plan_tokenize
from mixtures.spec import load_mixture
from mixtures.stream import Stream
from mixtures.tokenization import tokenize_shard
from mixtures.tokenizer import open_tokenizer, train_bpe
from tests.trainer.runs import untimed
from trainer.config import load_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

VOCAB = 1024
TOKENS = 2_000_000
CONTEXT = 128
ADDED = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""What may be added to the count of each pair."""
Pairs = npt.NDArray[np.int64]


@pytest.fixture(scope="module")
def tokens(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Token files of the novels of all languages, by a vocabulary learnt on them."""
    root = tmp_path_factory.mktemp("novels")
    documents = root / "documents"
    documents.mkdir()
    texts = []
    for file in sorted((shared_data / "text").glob("*.jsonl")):
        rows = [json.loads(line)["text"] for line in file.read_text(encoding="utf-8").splitlines()]
        # A novel is one long text; in parts of about a page each, a twentieth can be held out of every language.
        parts = [row[start : start + 3_000] for row in rows for start in range(0, len(row), 3_000)]
        (documents / file.name).write_text("".join(json.dumps({"text": part}) + "\n" for part in parts))
        texts += parts
    learnt = root / "tokenizer.json"
    learnt.write_text(train_bpe(texts[::4], VOCAB))
    tokenizer = open_tokenizer(learnt)
    install_tokenizer(tokenizer, root / "tokens")
    jobs = plan_tokenize([documents], root / "tokens", tokenizer)
    for job in jobs:
        tokenize_shard(job)
    finish(jobs, root / "tokens")
    return root / "tokens"


def write_recipe(folder: Path) -> Path:
    mixture = {
        "name": "novels",
        "seed": 3,
        "held_out": "1/20",
        "components": [{"name": "novels", "kind": "other", "tokens": ["documents"], "max_epochs": 2}],
        "stages": [{"name": "one", "context": CONTEXT, "tokens": TOKENS, "out_of": 1, "weights": {"novels": 1}}],
    }
    recipe = {
        "name": "novels",
        "mixture": "mixture.yaml",
        "seed": 11,
        "threads": 1,
        "micro_batch": 32,
        "held_out_sequences": 400,
        "model": vars(load_recipe("demo").model),
        "optim": {"beta1": 0.9, "beta2": 0.95, "weight_decay": 0.1, "clip_norm": 1.0, "z_loss": 1e-4},
        "stages": [
            {
                "name": "one",
                "rope_theta": 500,
                "tied": True,
                "adam_eps": 1e-8,
                "rate": {"warmup_tokens": 50_000, "peak": 6e-3, "floor": 6e-4},
                "batch": [{"from_tokens": 0, "sequences": 16}, {"from_tokens": 800_000, "sequences": 32}],
            }
        ],
        "checkpoint": {"every_steps": 1000, "keep_last": 1, "verify_batches": 2},
    }
    (folder / "mixture.yaml").write_text(yaml.safe_dump(mixture))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return folder / "recipe.yaml"


def counts(windows: Iterable[npt.NDArray[np.int64]]) -> Pairs:
    """How often each token follows each, [V, V]; within windows, as the model sees them."""
    places = [window[:-1] * VOCAB + window[1:] for window in windows]
    return np.bincount(np.concatenate(places), minlength=VOCAB * VOCAB).reshape(VOCAB, VOCAB)


def bigram_loss(fitted: Pairs, seen: Pairs, added: float) -> float:
    """Mean −log p of the pairs `seen`, where p(b | a) = (count(ab) + k) / (count(a) + k V)."""
    p = (fitted + added) / (fitted.sum(axis=1, keepdims=True) + added * VOCAB)
    return float(-(seen * np.log(p)).sum() / seen.sum())


def test_the_bigram_is_what_it_says() -> None:
    fitted = counts([np.array([1, 2, 1, 2, 1, 3])])
    assert (fitted[1, 2], fitted[1, 3], fitted[2, 1], fitted.sum()) == (2, 1, 2, 5)
    once = counts([np.array([1, 2])])
    assert bigram_loss(fitted, once, 0.5) == pytest.approx(-np.log(2.5 / (3 + 512)))


def test_the_demo_model_beats_a_bigram_after_two_million_tokens(
    tokens: Path, repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path)
    command = [sys.executable, "-m", "falconmix.cli", "train", recipe, "--tokens", tokens, "--output", tmp_path / "run"]
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=1_500)
    assert done.returncode == 0, done.stderr[-2000:]
    model = [record["loss"] for record in untimed(tmp_path / "run") if record["kind"] == "held_out"]

    stream = Stream.open(load_mixture(tmp_path / "mixture.yaml"), tokens)
    trained = [stream.sequence(position).tokens for position in range(len(stream))]
    assert len(trained) * CONTEXT == pytest.approx(TOKENS, rel=1e-3)
    held_out = counts(window.tokens for window in stream.held_out(CONTEXT, 400)["novels"])

    # k is chosen among training windows: what every tenth loses by it when the others are counted.
    left_out = {k: bigram_loss(counts(_others(trained)), counts(trained[::10]), k) for k in ADDED}
    chosen = min(left_out, key=lambda k: left_out[k])
    bigram = {k: bigram_loss(counts(trained), held_out, k) for k in ADDED}
    with capsys.disabled():
        print(f"\nheld-out loss: model {model[-1]:.4f} (untrained {model[0]:.4f}), bigram {bigram[chosen]:.4f}")
        print(f"k = {chosen}; by k: " + ", ".join(f"{k} {loss:.4f}" for k, loss in bigram.items()))
    assert model[-1] < bigram[chosen]
    assert model[-1] < min(bigram.values())  # nor would another k have helped


def _others(trained: list[npt.NDArray[np.int64]]) -> list[npt.NDArray[np.int64]]:
    return [window for place, window in enumerate(trained) if place % 10]
