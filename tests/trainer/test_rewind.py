"""A run that goes back before a loss spike and passes over what led to it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixtures.spec import load_mixture
from mixtures.stream import Stream
from tests.trainer.corpus import write_recipe
from tests.trainer.runs import assert_same, final_tensors, untimed
from trainer import checkpoint
from trainer.consumed import certificate
from trainer.errors import DivergedError, MismatchError
from trainer.layout import Process
from trainer.run import train
from trainer.trace import Run as Traced

Run = Callable[..., Path]
SEED = "seed: 7\n"
NERVOUS = "watch: {steps: 8, z_score: 0.5, in_a_row: 1, action: rewind, most_rewinds: 2}\n"
"""So nervous that it takes the corpus's own noise for a spike."""


def steps(run: Path) -> list[dict[str, Any]]:
    return [record for record in untimed(run) if record["kind"] == "step"]


@pytest.fixture(scope="module")
def nervous(tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recipe and a run of it that has gone back as often as it may, and ended for it."""
    folder = tmp_path_factory.mktemp("nervous")
    recipe = write_recipe(folder / "recipe", (SEED, SEED + NERVOUS))
    with pytest.raises(DivergedError, match=r"loss spike: .*; gone back 2 time\(s\) already \(watch\.most_rewinds\)"):
        train(recipe, tokens=tokens, output=folder / "run")
    return recipe, folder / "run"


def test_what_is_passed_over_stands_in_the_log_and_not_in_the_run(nervous: tuple[Path, Path]) -> None:
    _, run = nervous
    log = yaml.safe_load((run / "changes.yaml").read_text())["changes"]
    assert [set(entry) for entry in log] == [{"at", "reason", "skip"}] * 2
    assert json.loads((run / "run.json").read_text())["changes"][1]["at"] == log[1]["at"]
    stream = Traced.open(run).stream
    plain = Traced.open(run).stream.schedule.mixture
    assert [change.at for change in plain.changes] == [entry["at"] for entry in log]
    first = log[0]
    assert stream.schedule.at(first["at"] - 1).position == first["at"] - 1
    rewinds = [record for record in untimed(run) if record["kind"] == "rewind"]
    assert [record["position"] for record in rewinds][-1] == log[-1]["at"]


def test_the_steps_that_raised_the_alarm_can_be_traced(nervous: tuple[Path, Path], tokens: Path) -> None:
    """As they were: where the run has come from since, they hold something else."""
    recipe, run = nervous
    plain, traced = Stream.open(load_mixture(recipe.parent / "mixture.yaml"), tokens), Traced.open(run)
    first = yaml.safe_load((run / "changes.yaml").read_text())["changes"][0]
    number = int(first["reason"].split("up to step ")[1].split(",")[0])
    (reason, before), *_ = traced.gone_back_from(number)
    step = traced.step(number)
    assert (reason, step.first) == (first["reason"], first["at"] + first["skip"] - step.count)
    assert before.stream.digest(step.first, step.count) == plain.digest(step.first, step.count)
    assert before.documents(step, Process()) != traced.documents(step, Process())
    with pytest.raises(MismatchError, match="has not gone back from it"):
        traced.gone_back_from(1)


def test_the_final_recipe_reproduces_the_run(nervous: tuple[Path, Path], tokens: Path, tmp_path: Path) -> None:
    """The same run, by a calm recipe with the entries in its mixture's log, up to where the nervous one gave up."""
    _, run = nervous
    log = (run / "changes.yaml").read_text().split("\n", 1)[1]
    recipe = write_recipe(tmp_path / "recipe", ("held_out: 1/8\n", "held_out: 1/8\n" + log))
    last = len(steps(run))
    train(recipe, tokens=tokens, output=tmp_path / "run", stop_after=last)
    assert steps(tmp_path / "run") == steps(run)
    assert load_mixture(recipe.parent / "mixture.yaml").changes[0].reason.startswith("loss spike")
    kept = checkpoint.latest(run / "checkpoints")
    assert kept is not None
    ours = tmp_path / "run" / "checkpoints" / kept.name
    if ours.exists():
        from tests.trainer.runs import tensors

        assert_same(tensors(ours), tensors(kept))


def test_entries_of_the_log_that_lie_ahead_do_not_keep_it_from_going_back(tokens: Path, tmp_path: Path) -> None:
    """The run's own entry comes to stand before them."""
    ahead = "held_out: 1/8\nchanges: [{at: 190, reason: too many of it, skip: 3}]\n"
    recipe = write_recipe(tmp_path / "recipe", (SEED, SEED + NERVOUS), ("held_out: 1/8\n", ahead))
    with pytest.raises(DivergedError, match="gone back 2 time"):
        train(recipe, tokens=tokens, output=tmp_path / "run")
    log = json.loads((tmp_path / "run" / "run.json").read_text())["changes"]
    assert [entry["reason"][:10] for entry in log] == ["loss spike", "loss spike", "too many o"]
    kept = checkpoint.latest(tmp_path / "run" / "checkpoints")
    assert kept is not None
    assert certificate(kept, checkpoint.read_state(kept)) is not None


def test_a_run_that_only_warns_goes_on(tokens: Path, uninterrupted: Path, tmp_path: Path, capsys: Any) -> None:
    calm = NERVOUS.replace("rewind,", "warn,")
    recipe = write_recipe(tmp_path / "recipe", (SEED, SEED + calm))
    assert train(recipe, tokens=tokens, output=tmp_path / "run") == 0
    assert steps(tmp_path / "run") == steps(uninterrupted)
    assert_same(final_tensors(tmp_path / "run"), final_tensors(uninterrupted))
    spikes = [record for record in untimed(tmp_path / "run") if record["kind"] == "spike"]
    assert spikes and spikes[0]["score"] >= 0.5
    assert "`falconmix trace RUN --step" in capsys.readouterr().out


def test_without_a_checkpoint_before_it_there_is_no_way_back(tokens: Path, tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path / "recipe", (SEED, SEED + NERVOUS), ("peak: 1e-2", "peak: 1e30"))
    with pytest.raises(DivergedError, match="is nan; there is no checkpoint before it to go back to"):
        train(recipe, tokens=tokens, output=tmp_path / "run")
    assert not (tmp_path / "run" / "changes.yaml").exists()


def test_a_rewound_run_stopped_and_resumed_is_the_same(
    nervous: tuple[Path, Path], tokens: Path, tmp_path: Path
) -> None:
    recipe, run = nervous
    output = tmp_path / "run"
    for stop in range(2, 40, 3):
        try:
            train(recipe, tokens=tokens, output=output, stop_after=stop)
        except DivergedError:
            break
    assert steps(output) == steps(run)
    assert (output / "changes.yaml").read_text() == (run / "changes.yaml").read_text()
