"""`falconmix train` and `falconmix export`, from token files to a model that transformers generates with."""

import contextlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest
import torch

from falconmix.cli import main, parser
from tests.trainer.corpus import write_recipe, write_tokens
from tests.trainer.runs import greedy, read_model, step_losses, untimed, with_checksums

SHORT = (("tokens: 2_000", "tokens: 700"), ("tokens: 1_300", "tokens: 450"), ("every_steps: 4", "every_steps: 2"))
"""11 steps: 9, 9, 9, 9, 8 + 12, 3 + 5, 3 + 5, 3 sequences."""


def falconmix(*arguments: str | Path) -> tuple[int, str]:
    """Run a command in this process: its exit code, and all that it printed."""
    shown = io.StringIO()
    with (
        contextlib.redirect_stdout(shown),
        contextlib.redirect_stderr(shown),
        mock.patch("falconmix.cli.signal.signal"),  # pytest's own handlers stay
    ):
        code = main([str(argument) for argument in arguments])
    return code, shown.getvalue()


@dataclass(frozen=True, kw_only=True)
class Corpus:
    recipe: Path
    tokens: Path

    def train(self, output: Path, *options: str) -> tuple[int, str]:
        return falconmix("train", self.recipe, "--tokens", self.tokens, "--output", output, *options)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("corpus")
    return Corpus(recipe=write_recipe(folder / "recipe", *SHORT), tokens=write_tokens(folder))


@pytest.fixture(scope="module")
def one(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run by one process."""
    output = tmp_path_factory.mktemp("one") / "run"
    code, shown = corpus.train(output)
    assert code == 0, shown
    assert f"{output}: finished; report in {output / 'report.html'}" in shown
    assert list(output.glob("tensorboard/steps/events*"))
    return output


@pytest.fixture(scope="module")
def two(corpus: Corpus, repository: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The same run by two processes under torchrun, and what they printed."""
    output = tmp_path_factory.mktemp("two") / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "falconmix.cli", "train", corpus.recipe, "--tokens", corpus.tokens, "--output", output]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launch, *command], cwd=repository, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return output, done.stdout


def test_two_processes_hold_half_each_and_train_as_one_does(one: Path, two: tuple[Path, str]) -> None:
    output, shown = two
    assert "tiny: 2 process(es); the first holds 49,536 of 99,072 parameter bytes" in shown
    sequences = [record["sequences"] for record in untimed(one) if record["kind"] == "step"]
    assert sequences == [9, 9, 9, 9, 8, 12, 3, 5, 3, 5, 3]
    assert step_losses(output) == pytest.approx(step_losses(one), rel=1e-4)


LOAD = """
import sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

for folder in sys.argv[1:]:
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer("Abde kil", return_tensors="pt")
    text = model.generate(**prompt, max_new_tokens=32, do_sample=False, eos_token_id=None, pad_token_id=11)
    ids = prompt["input_ids"]
    found = {"model": type(model).__name__, "ids": ids, "text": text, "logits": model(ids).logits.detach()}
    torch.save(found, f"{folder}/answer.pt")
"""


def test_the_export_is_what_was_trained(one: Path, two: tuple[Path, str], tmp_path: Path) -> None:
    """A folder that transformers loads without a complaint: same logits, same 32 greedy tokens."""
    exports = {tmp_path / "one": one, tmp_path / "two": two[0]}
    for folder, run in exports.items():
        assert falconmix("export", run, folder) == (0, f"exported to {folder}\n")
    environment = os.environ | {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_OFFLINE": "1"}
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD, *exports],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert loaded.returncode == 0, loaded.stderr
    said = (loaded.stdout + loaded.stderr).splitlines()
    assert [line for line in said if line.strip() and "Loading weights" not in line] == []
    for folder, run in exports.items():
        theirs, ours = torch.load(folder / "answer.pt"), read_model(run)
        assert theirs["model"] == "FalconForCausalLM"
        with torch.no_grad():
            assert (ours(theirs["ids"]) - theirs["logits"]).abs().max().item() <= 1e-4
        count = theirs["ids"].shape[1]
        assert theirs["text"][0, count:].tolist() == greedy(ours, theirs["ids"], 32)[0].tolist()


def test_a_finished_run_and_an_export_may_be_asked_for_again(corpus: Corpus, one: Path, tmp_path: Path) -> None:
    code, shown = corpus.train(one)
    assert (code, shown) == (0, f"{one}: this run is finished; --restart would begin it again\n")
    for _ in range(2):
        assert falconmix("export", one, tmp_path / "hf")[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["hf"]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda path: (path / "__0_0.distcp").unlink(), "step-00000011: cannot be read"),
        (lambda path: os.truncate(path / "__0_0.distcp", 5_000), "step-00000011: cannot be read"),
        (lambda path: (path / ".metadata").unlink(), "step-00000011: cannot be read (its .metadata is missing)"),
        (lambda path: (path / "state.json").write_text("{"), "its state.json is not what was written"),
        (lambda path: of_another_shape(path), "step-00000011: cannot be read (Size mismatch"),
    ],
    ids=["missing", "cut", "no metadata", "no state", "another model"],
)
def test_a_checkpoint_that_cannot_be_used_gets_one_line(one: Path, tmp_path: Path, break_it, message: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(one, run)
    break_it(run / "checkpoints" / "step-00000011")
    code, shown = falconmix("export", run, tmp_path / "hf")
    assert (code, shown.count("\n")) == (2, 1)
    assert message in shown
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def of_another_shape(path: Path) -> None:
    state = json.loads((path / "state.json").read_text())
    state["recipe"]["model"]["hidden"] = 16
    (path / "state.json").write_text(json.dumps(state))
    with_checksums(path)


def test_another_recipe_or_a_cut_token_file_gets_one_line(corpus: Corpus, one: Path, tmp_path: Path) -> None:
    other = Corpus(recipe=write_recipe(tmp_path / "other", *SHORT, ("layers: 2", "layers: 1")), tokens=corpus.tokens)
    before = (one / "run.json").read_bytes()
    code, shown = other.train(one)
    assert (code, shown.count("\n")) == (2, 1)
    assert "differs in recipe.model.layers" in shown
    assert (one / "run.json").read_bytes() == before

    cut = Corpus(recipe=corpus.recipe, tokens=tmp_path / "tokens")
    shutil.copytree(corpus.tokens, cut.tokens)
    os.truncate(cut.tokens / "code" / "part-00000.tokens", 900)
    code, shown = cut.train(tmp_path / "run")
    assert (code, shown.count("\n")) == (2, 1)
    assert "code/part-00000.tokens: cut short: 900 bytes" in shown
    assert not (tmp_path / "run").exists()


def test_a_rate_beyond_reason_stops_the_run_with_its_own_code(corpus: Corpus, tmp_path: Path) -> None:
    changes = (*SHORT, ("peak: 1e-2, floor: 3e-3", "peak: 1e30, floor: 1e30"))
    wild = Corpus(recipe=write_recipe(tmp_path / "wild", *changes), tokens=corpus.tokens)
    code, shown = wild.train(tmp_path / "run")
    assert code == 3
    assert "is nan; nothing was changed by it" in shown.splitlines()[-1]


def test_the_line_that_starts_it_on_many_nodes() -> None:
    code, shown = falconmix("train", "falcon2-11b", "--tokens", "s3://bucket/t", "--output", "run", "--launch", "128")
    assert code == 0
    assert "torchrun --nnodes=128 --rdzv-backend=c10d" in shown and "--nproc-per-node=8" in shown
    assert shown.strip().endswith("train falcon2-11b --tokens s3://bucket/t --output run")
    code, shown = falconmix(
        "train", "falcon2-11b", "--tokens", "t", "--output", "run", "--launch", "1", "--gpus-per-node", "4"
    )
    assert code == 2 and "tensor 8" in shown
    cache = ("--token-cache", "/nvme/a b", "--token-cache-bytes", "9_000")
    more = ("--from", "start", "--no-tensorboard", "--wandb", "falcon2", "--profile", "200:3")
    asked = ("train", "falcon2-11b", "--tokens", "s3://bucket/t", "--output", "run", *cache, *more, "--launch", "128")
    code, shown = falconmix(*asked)
    told = parser().parse_args(shlex.split(shown.partition("-m falconmix.cli ")[2]))
    assert code == 0
    assert vars(told) == vars(parser().parse_args(asked)) | {"launch": None}
    code, shown = falconmix(*asked, "--restart")
    assert code == 2 and "--restart: the line is run again" in shown


def test_begun_with_given_weights(corpus: Corpus, one: Path, tmp_path: Path) -> None:
    """The first held-out loss of the second run is the last one of the first, under the first stage's rotary base."""
    stage_end = min((one / "checkpoints").iterdir())
    code, shown = corpus.train(tmp_path / "again", "--from", str(stage_end))
    assert code == 0, shown
    assert f"begun with the weights of {stage_end}" in shown
    first = next(line for line in shown.splitlines() if "start: held-out loss" in line)
    records = [record for record in untimed(one) if record["kind"] == "held_out"]
    ends = {f"{record['loss']:.4f}" for record in records if record["at"] == "end"}
    assert first.split()[-1] in ends
    code, shown = corpus.train(tmp_path / "again")
    assert code == 2 and "differs in initial" in shown
    code, shown = corpus.train(tmp_path / "new", "--from", str(tmp_path / "none"))
    assert code == 2 and "no such folder" in shown


@pytest.mark.parametrize("steps", ["0", "3:0", "three", "3:", "-1:2"])
def test_a_profile_is_asked_for_by_its_first_step_and_how_many(corpus: Corpus, tmp_path: Path, steps: str) -> None:
    with pytest.raises(SystemExit) as refusal:
        corpus.train(tmp_path / "run", f"--profile={steps}")
    assert refusal.value.code == 2
    assert not (tmp_path / "run").exists()


def test_what_looks_on_is_chosen_on_the_command_line(corpus: Corpus, tmp_path: Path) -> None:
    code, shown = corpus.train(tmp_path / "run", "--no-tensorboard", "--profile", "2:2")
    assert code == 0, shown
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert (tmp_path / "run" / "profile" / "steps-2-3.txt").exists()
