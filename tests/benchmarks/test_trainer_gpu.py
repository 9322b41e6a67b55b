"""The program itself, on a CPU and a tiny shape; what it measures there means nothing."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import trainer_gpu
from trainer.config import load_recipe
from trainer.monitoring.flops import flops_per_token

TINY = [
    "--hidden",
    "32",
    "--heads",
    "4",
    "--kv-heads",
    "2",
    "--mlp",
    "64",
    "--vocab",
    "97",
    "--blocks",
    "2",
    "--tokens",
    "64",
    "--steps",
    "2",
    "--warmup",
    "1",
]


def test_both_sides_train_the_same_weights_on_the_same_tokens(repository: Path) -> None:
    command = [
        sys.executable,
        "benchmarks/trainer_gpu.py",
        "--device",
        "cpu",
        "--eager",
        "--contexts",
        "16",
        "32",
        *TINY,
    ]
    done = subprocess.run([*command, "--json"], cwd=repository, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert (figures["device"], figures["mfu_of"], figures["blocks"]) == ("cpu", None, 2)
    assert [row["context"] for row in figures["contexts"]] == [16, 32]
    for row in figures["contexts"]:
        ours, theirs = row["variants"]
        assert (ours["variant"], theirs["variant"]) == ("falconmix sdpa eager", "transformers sdpa eager")
        assert ours["first_loss"] == pytest.approx(theirs["first_loss"], abs=1e-4)
        assert ours["mfu"] is None and ours["peak_bytes"] is None and ours["tokens"] == 64
        assert row["ratio"] == pytest.approx(ours["tokens_per_s"] / theirs["tokens_per_s"])
        assert row["like_for_like"] == {"eager": row["ratio"], "compiled": None}


def test_mfu_and_ratios() -> None:
    model = load_recipe("falcon2-11b").model
    flops = flops_per_token(model, 2_048)
    common = {"float8": False, "compiled": True}
    found = [
        common | {"side": "falconmix", "tokens_per_s": 6_000.0},
        common | {"side": "falconmix", "tokens_per_s": 9_000.0, "float8": True},
        {"side": "transformers", "error": "OutOfMemoryError"},
        common | {"side": "transformers", "tokens_per_s": 4_000.0, "compiled": False},
        common | {"side": "transformers", "tokens_per_s": 3_000.0},
    ]
    row = trainer_gpu.summary(2_048, found, model, 989.4e12)
    assert row["ratio"] == 1.5  # beside the peer's fastest; float8 is not like for like
    assert row["like_for_like"] == {"eager": None, "compiled": 2.0}
    assert found[0]["mfu"] == pytest.approx(6_000 * flops / 989.4e12)


def test_peaks_are_known_or_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    options = argparse.Namespace(device="cuda", peak_tflops=None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100 80GB HBM3")
    assert trainer_gpu.peak_asked_for(options) == (989.4e12, "NVIDIA H100 80GB HBM3, dense bf16")
    assert trainer_gpu.peak_asked_for(argparse.Namespace(device="cuda", peak_tflops=500.0))[0] == 500e12
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "some other")
    assert trainer_gpu.peak_asked_for(options) == (None, "some other is not known: give --peak-tflops")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(repository: Path) -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/trainer_gpu.py"], cwd=repository, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0 and "no GPU here" in done.stderr
