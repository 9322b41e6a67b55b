"""`import-weights`, `export` and `evaluate` one after another, on a random model as transformers saves it."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from falconmix import evaluation
from mixtures.tokenizer import train_bpe
from tests.trainer.corpus import documents
from tests.trainer.tasks import CHOICE, questions, write_task
from trainer.suite import suite_names

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of somebody else's, in bf16, with a tokenizer."""
    from transformers import FalconConfig, FalconForCausalLM

    torch.set_num_threads(1)
    torch.manual_seed(3)
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "num_kv_heads": 2, "vocab_size": 320}
    config = FalconConfig(**shape, new_decoder_architecture=True, num_ln_in_parallel_attn=1, tie_word_embeddings=False)
    folder = tmp_path_factory.mktemp("theirs") / "falcon-tiny"
    FalconForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    (folder / "tokenizer.json").write_text(train_bpe(documents("code", 40), 320))
    return folder


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    write_task(folder, "next_word", CHOICE, questions("code", 6), questions("technical", 12))
    return folder


@pytest.fixture(scope="module")
def exported(theirs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from falconmix.cli import main

    folder = tmp_path_factory.mktemp("exported")
    assert main(["import-weights", str(theirs), str(folder / "start")]) == 0
    assert main(["export", str(folder / "start"), str(folder / "hf")]) == 0
    return folder / "hf"


@pytest.fixture(autouse=True)
def _caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "datasets")
    monkeypatch.setenv("TQDM_MININTERVAL", "60")  # put back after a command that sets it


def test_imported_weights_are_exported_as_they_were(
    theirs: Path, exported: Path, tmp_path: Path, falconmix: Command
) -> None:
    code, shown, _ = falconmix("import-weights", theirs, tmp_path / "start")
    assert (code, shown) == (
        0,
        f"imported to {tmp_path / 'start'}: 10 tensors, 1 blocks of width 32, untied head, rotary base 10,000, "
        "context 2,048\n",
    )
    ours, source = load_file(exported / "model.safetensors"), load_file(theirs / "model.safetensors")
    assert ours.keys() == source.keys()
    assert all(torch.equal(ours[name], tensor) and ours[name].dtype == tensor.dtype for name, tensor in source.items())
    assert "Imported by falconmix from a folder called `falcon-tiny`" in (exported / "README.md").read_text()


def test_local_tasks_are_evaluated_from_any_folder(
    exported: Path, tasks: Path, tmp_path: Path, falconmix: Command
) -> None:
    model = tmp_path / "hf"
    shutil.copytree(exported, model)
    code, shown, told = falconmix("evaluate", model, "--tasks", tasks, "--limit", 9, "--device", "cpu")
    assert code == 0, told
    lines = shown.splitlines()
    assert lines[0] == "Local tasks (lm-eval 0.4.13)"
    assert lines[2].split()[:4] == ["next_word", "0", "acc", "9"]
    assert lines[-1] == f"results in {model / 'evaluation.json'}"
    kept = json.loads((model / "evaluation.json").read_text())["suites"]["local"]
    assert kept["evaluated"] == {
        "checkpoint": "start",
        "imported": "falcon-tiny",
        "tokenizer": kept["evaluated"]["tokenizer"],
        "dtype": "bfloat16",
    }
    assert kept["settings"]["dtype"] == "bfloat16"
    assert "## Evaluation\n\nLocal tasks, by lm-eval 0.4.13:" in (model / "README.md").read_text()

    code, shown, _ = falconmix(
        "evaluate", model, "--tasks", tasks, "--limit", 9, "--json", "--output", tmp_path / "r.json"
    )
    answer = json.loads(shown)
    assert answer["rows"] == kept["rows"]
    written = json.loads((tmp_path / "r.json").read_text())["suites"]["local"]
    assert written == answer | {"evaluated": kept["evaluated"]}


def test_what_cannot_be_done_gets_one_line_and_code_2(
    theirs: Path, exported: Path, tasks: Path, tmp_path: Path, falconmix: Command
) -> None:
    (tmp_path / "empty").mkdir()
    config = json.loads((theirs / "config.json").read_text())
    for name, field in (("older", {"num_ln_in_parallel_attn": None}), ("tokenless", {})):
        shutil.copytree(theirs, tmp_path / name)
        (tmp_path / name / "config.json").write_text(json.dumps(config | field))
    (tmp_path / "tokenless" / "tokenizer.json").unlink()
    asked = {
        ("evaluate", exported): "what to evaluate? Give --suite (open-llm-v1, zero-shot, multilingual, humaneval)",
        ("evaluate", tmp_path, "--tasks", tasks): "config.json is missing",
        ("evaluate", exported, "--tasks", tmp_path / "empty"): "empty: holds no task file",
        ("evaluate", exported, "--suite", "humaneval"): "allow it with --allow-code-execution",
        ("import-weights", tmp_path / "nowhere", tmp_path / "start"): "nowhere: no such folder",
        (
            "import-weights",
            tmp_path / "older",
            tmp_path / "start",
        ): "num_ln_in_parallel_attn is None, where Falcon2's is 1",
        ("import-weights", tmp_path / "tokenless", tmp_path / "start"): "tokenizer.json: missing",
        ("import-weights", theirs, tasks): "holds something else than an earlier import",
    }
    for arguments, message in asked.items():
        code, shown, told = falconmix(*arguments)
        assert (code, shown, told.count("\n")) == (2, "", 1), told
        assert message in told
    code, _, told = falconmix("evaluate", exported, "--suite", "mmlu")
    assert code == 2
    assert "invalid choice: 'mmlu'" in told


def test_the_command_line_knows_every_suite() -> None:
    assert sorted(evaluation.SUITES) == suite_names()


def test_help_of_the_commands_needs_no_harness(repository: Path) -> None:
    """The door is quick: neither torch nor lm-eval is imported to print how it is used."""
    script = (
        "import sys, falconmix.cli as cli\n"
        "try: cli.main(['evaluate', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'lm_eval', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=repository, env=os.environ, capture_output=True, text=True, check=True
    )
    assert "falconmix evaluate hf --suite open-llm-v1" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
