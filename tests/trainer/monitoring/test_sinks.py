"""TensorBoard, W&B and profiles of real runs of the tiny recipe."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainer.errors import MismatchError
from trainer.monitoring import metrics
from trainer.monitoring.scalars import event, scalars
from trainer.monitoring.sinks import Sinks
from trainer.monitoring.tensorboard import TensorBoard
from trainer.run import train

Run = Callable[..., Path]


def shown(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), {"scalars": 0, "tensors": 0}).Reload()


def points(board: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in board.Scalars(tag)]


@pytest.fixture(scope="module")
def resumed(recipe: Path, tokens: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run stopped within a stage, at the end of one, and killed behind its last checkpoint."""
    output = tmp_path_factory.mktemp("sinks") / "run"
    sinks = Sinks(tensorboard=True, profile=(9, 2))
    for stop in (7, 8, None):
        train(recipe, tokens=tokens, output=output, stop_after=stop, sinks=sinks)
    return output


def test_tensorboard_has_every_step_of_a_resumed_run_once(resumed: Path) -> None:
    records = metrics.read(resumed / "metrics.jsonl")
    steps = [record for record in records if record["kind"] == "step"]
    by_steps, by_tokens = shown(resumed / "tensorboard" / "steps"), shown(resumed / "tensorboard" / "tokens")
    assert points(by_steps, "training/loss") == [(s["step"], pytest.approx(s["loss"])) for s in steps]
    assert points(by_tokens, "training/loss by tokens") == [(s["tokens"], pytest.approx(s["loss"])) for s in steps]
    assert points(by_steps, "speed/data_wait_s") == [(s["step"], pytest.approx(s["data_wait_s"])) for s in steps]
    for stage, first, last in (("one", 0, 8), ("two", 8, 12), ("three", 12, 17), ("four", 17, 22)):
        found = [r for r in records if r["kind"] == "held_out" and r["stage"] == stage]
        losses = [(first, pytest.approx(found[0]["loss"])), (last, pytest.approx(found[1]["loss"]))]
        assert points(by_steps, f"held_out/{stage}/loss") == losses
    german = [r["languages"]["de"] for r in records if r["kind"] == "held_out" and r["stage"] == "one"]
    assert [loss for _, loss in points(by_steps, "held_out/one/languages/de")] == pytest.approx(german)


def test_what_a_killed_run_wrote_behind_its_checkpoint_is_void(tmp_path: Path) -> None:
    def record(step: int, loss: float) -> dict[str, Any]:
        rest = dict.fromkeys(("z_loss", "lr", "grad_norm", "sequences"), 0.0)
        return {"kind": "step", "step": step, "tokens": 10 * step, "loss": loss, **rest}

    killed = TensorBoard(tmp_path, [])
    for step in range(1, 8):
        killed.write(record(step, 5.0))
    killed.close()
    kept = [record(step, 5.0) for step in range(1, 5)]
    went_on = TensorBoard(tmp_path, kept)
    went_on.write({"kind": "rewind", "step": 4, "position": 9, "reason": "loss spike"})
    for step in range(5, 7):
        went_on.write(record(step, 4.0))
    went_on.close()
    board = shown(tmp_path / "steps")
    assert points(board, "training/loss") == [(1, 5.0), (2, 5.0), (3, 5.0), (4, 5.0), (5, 4.0), (6, 4.0)]
    over = [step for step, _ in points(shown(tmp_path / "tokens"), "training/loss by tokens")]
    assert over == [10, 20, 30, 40, 50, 60]
    (said,) = board.Tensors("log/text_summary")
    assert said.step == 4
    assert said.tensor_proto.string_val == [b"rewind: position 9, reason loss spike"]


def test_begun_anew_a_run_forgets_what_sinks_wrote(recipe: Path, run: Run) -> None:
    output = run(recipe, stop_after=3, sinks=Sinks(tensorboard=True, profile=(1, 1)))
    (output / "wandb-id").write_text("abc")
    run(recipe, stop_after=2, restart=True, sinks=Sinks(tensorboard=True))
    assert [step for step, _ in points(shown(output / "tensorboard" / "steps"), "training/loss")] == [1, 2]
    assert not (output / "profile").exists()
    assert not (output / "wandb-id").exists()


def test_a_profile_has_a_trace_and_a_table_of_its_steps(resumed: Path) -> None:
    assert sorted(path.name for path in (resumed / "profile").iterdir()) == ["steps-9-10.json", "steps-9-10.txt"]
    trace = json.loads((resumed / "profile" / "steps-9-10.json").read_text())
    names = Counter(part.get("name") for part in trace["traceEvents"])
    # Two layers, and the passes that steps 9 and 10 take for 12 sequences each at 8 a pass.
    assert names["aten::_scaled_dot_product_flash_attention_for_cpu"] == 2 * 2 * 2
    assert "Self CPU" in (resumed / "profile" / "steps-9-10.txt").read_text()


def test_a_profile_that_a_stop_cuts_short_is_written(recipe: Path, run: Run) -> None:
    output = run(recipe, stop_after=2, sinks=Sinks(profile=(2, 5)))
    assert (output / "profile" / "steps-2-2.json").stat().st_size > 0


class Hub(ModuleType):
    """What W&B documents of `init`, `log`, `define_metric`, `alert` and `finish`, writing down what it is told."""

    Error = type("Error", (Exception,), {})

    def __init__(self) -> None:
        super().__init__("wandb")
        self.begun: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, float]]] = []
        self.axes: dict[str, str | None] = {}
        self.alerts: list[tuple[str, str]] = []
        self.finished = 0
        self.__spec__ = sys.__spec__

    def init(self, *, project: str, name: str, id: str, resume: str, dir: str, config: dict[str, Any]) -> "Hub":
        if project == "closed":
            raise self.Error("no api key configured")
        self.begun.append({"project": project, "name": name, "id": id, "resume": resume, "config": config})
        return self

    def log(self, data: dict[str, float], step: int) -> None:
        self.logged.append((step, data))

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        self.axes[name] = step_metric

    def alert(self, title: str, text: str) -> None:
        self.alerts.append((title, text))

    def finish(self) -> None:
        self.finished += 1


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.setitem(sys.modules, "wandb", hub)
    monkeypatch.delitem(sys.modules, "trainer.monitoring.wandb_log", raising=False)
    return hub


def test_wandb_gets_every_step_under_one_run(hub: Hub, recipe: Path, run: Run) -> None:
    for stop in (2, 4):
        output = run(recipe, stop_after=stop, sinks=Sinks(wandb="falcon"))
    first, second = hub.begun
    assert first == second
    assert (first["project"], first["name"], first["resume"]) == ("falcon", "run", "allow")
    assert first["id"] == (output / "wandb-id").read_text()
    assert first["config"]["model"]["hidden"] == 32
    assert (hub.axes, hub.finished) == ({"tokens": None, "*": "tokens"}, 2)
    steps = [record for record in metrics.read(output / "metrics.jsonl") if record["kind"] == "step"]
    logged = [(step, data["training/loss"], data["tokens"]) for step, data in hub.logged if "training/loss" in data]
    assert logged == [(record["step"], record["loss"], record["tokens"]) for record in steps]
    # Before the first step, and logged with it.
    assert hub.logged[0][0] == 1
    assert set(hub.logged[0][1]) >= {"held_out/one/loss", "held_out/one/languages/de"}


def test_a_refusal_of_wandb_names_the_mend(hub: Hub, recipe: Path, run: Run) -> None:
    with pytest.raises(MismatchError, match=r"--wandb closed: no api key configured; log in with `wandb login`"):
        run(recipe, stop_after=1, sinks=Sinks(wandb="closed"))


def test_without_the_package_wandb_is_refused_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.monitoring.sinks.find_spec", lambda name: None)
    with pytest.raises(MismatchError, match="pip install wandb"):
        Sinks(wandb="falcon")


def test_without_the_package_tensorboard_is_left_out(
    recipe: Path, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("trainer.monitoring.sinks.find_spec", lambda name: None)
    output = run(recipe, stop_after=1, sinks=Sinks(tensorboard=True))
    assert "tensorboard is left out: pip install tensorboard" in capsys.readouterr().out
    assert not (output / "tensorboard").exists()


def test_figures_by_name() -> None:
    places = {"rank": 3, "s": 0.25, "median_s": 0.05}
    record = {"kind": "stragglers", "step": 50, "tokens": 1, "stage": "one", "slowest": {"data_wait": places}}
    assert scalars(record) == {
        "stragglers/data_wait/rank": 3,
        "stragglers/data_wait/s": 0.25,
        "stragglers/data_wait/median_s": 0.05,
    }
    assert event(record) is None
    assert scalars({"kind": "spike", "step": 3}) == {}
