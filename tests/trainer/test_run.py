"""Runs as a user starts, breaks and goes on with them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mixtures.errors import TokenizerError
from tests.trainer.corpus import write_recipe, write_tokens
from tests.trainer.runs import assert_same, final_tensors, step_losses, untimed
from trainer import checkpoint, loop
from trainer.errors import BusyError, CheckpointError, DivergedError, MemoryShortError, MismatchError
from trainer.lock import locked
from trainer.monitoring import metrics
from trainer.run import STOPPED, train

Run = Callable[..., Path]
STEPS = 22


def test_the_held_out_loss_falls_in_every_stage(uninterrupted: Path) -> None:
    held_out = [record for record in untimed(uninterrupted) if record["kind"] == "held_out"]
    assert [(record["stage"], record["at"]) for record in held_out] == [
        (stage, at) for stage in ("one", "two", "three", "four") for at in ("start", "end")
    ]
    for start, end in zip(held_out[::2], held_out[1::2], strict=True):
        assert end["loss"] < start["loss"], start["stage"]
    assert set(held_out[-1]["components"]) == {"technical", "code"}


def test_the_metrics_follow_the_recipe(uninterrupted: Path) -> None:
    steps = [record for record in untimed(uninterrupted) if record["kind"] == "step"]
    assert [record["step"] for record in steps] == list(range(1, STEPS + 1))
    sizes = [9, 9, 9, 9, 18, 18, 18, 35] + [12, 12, 12, 5] + [5, 5, 5, 5, 1] * 2
    assert [record["sequences"] for record in steps] == sizes
    assert steps[-1]["position"] == sum(sizes)
    assert steps[-1]["tokens"] == 125 * 16 + 41 * 32 + 2 * 21 * 64
    assert [record["lr"] for record in steps[:2]] == pytest.approx([1e-2 * 144 / 300, 1e-2 * 288 / 300])
    assert steps[7]["lr"] == pytest.approx(3e-3)


def test_a_step_says_how_long_it_took_and_how_long_it_waited_for_its_data(uninterrupted: Path) -> None:
    for record in metrics.read(uninterrupted / "metrics.jsonl"):
        assert (record["kind"] == "step") == ("data_wait_s" in record)
        if record["kind"] == "step":
            tokens = record["sequences"] * {"one": 16, "two": 32}.get(record["stage"], 64)
            assert 0 <= record["data_wait_s"] <= tokens / record["tokens_per_second"] + 1e-3
            assert record["tokens_per_second_per_process"] == record["tokens_per_second"]
            assert record["memory_bytes"] > 10_000_000
            assert record["sync_wait_s"] == 0
            assert "mfu" not in record


def test_a_step_says_how_long_its_stage_and_the_run_will_take(uninterrupted: Path) -> None:
    steps = [record for record in metrics.read(uninterrupted / "metrics.jsonl") if record["kind"] == "step"]
    assert all(record["eta_stage_s"] <= record["eta_run_s"] for record in steps)
    assert [record["eta_stage_s"] == 0 for record in steps].count(True) >= 4
    assert [steps[index - 1]["eta_stage_s"] for index in (8, 12, 17, 22)] == [0, 0, 0, 0]
    assert steps[-1]["eta_run_s"] == 0


def test_a_run_stopped_after_each_of_its_steps_ends_in_the_same_bits(
    recipe: Path, run: Run, uninterrupted: Path
) -> None:
    for step in range(1, STEPS + 1):
        stopped = run(recipe, stop_after=step)
        assert checkpoint.read_state(checkpoint.found(stopped)).step == step
    assert_same(final_tensors(stopped), final_tensors(uninterrupted))
    assert untimed(stopped) == untimed(uninterrupted)


def test_a_killed_run_goes_on_from_its_last_checkpoint(
    recipe: Path, tokens: Path, run: Run, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between step 10 and 11, without a checkpoint since step 8 and with metrics beyond it."""
    take = loop._take

    def dies(setting: Any, progress: Any, step: Any, wish: Any) -> bool:
        if step.number == 11:
            raise KeyboardInterrupt
        return take(setting, progress, step, wish)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(loop, "_take", dies)
        run(recipe)
    resumed = run(recipe)
    assert_same(final_tensors(resumed), final_tensors(uninterrupted))
    assert untimed(resumed) == untimed(uninterrupted)


def test_a_half_written_checkpoint_is_never_seen(recipe: Path, run: Run, uninterrupted: Path) -> None:
    stopped = run(recipe, stop_after=9)
    half = stopped / "checkpoints" / ".step-00000010.draft"
    shutil.copytree(stopped / "checkpoints" / "step-00000009", half)
    (half / "__0_0.distcp").write_bytes(b"cut off")
    resumed = run(recipe)
    assert not half.exists()
    assert_same(final_tensors(resumed), final_tensors(uninterrupted))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGUSR1, 0), (signal.SIGINT, STOPPED)])
def test_a_signal_ends_the_run_with_a_checkpoint(
    recipe: Path,
    tokens: Path,
    run: Run,
    uninterrupted: Path,
    tmp_path: Path,
    number: int,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    """Whoever preempts a run is told that it ended well."""
    take = loop._take

    def interrupted(setting: Any, progress: Any, step: Any, wish: Any) -> bool:
        if step.number == 6:
            os.kill(os.getpid(), number)
        return take(setting, progress, step, wish)

    before = signal.getsignal(number)
    with monkeypatch.context() as patched:
        patched.setattr(loop, "_take", interrupted)
        assert train(recipe, tokens=tokens, output=tmp_path / "run") == code
    stopped = tmp_path / "run"
    assert not json.loads((stopped / "run.json").read_text())["finished"]
    assert signal.getsignal(number) == before
    assert checkpoint.read_state(checkpoint.found(stopped)).step == 6
    assert "the same command goes on from it" in capsys.readouterr().out
    assert_same(final_tensors(run(recipe)), final_tensors(uninterrupted))


def test_sigkill_leaves_a_resumable_run(
    recipe: Path, tokens: Path, run: Run, repository: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from trainer.run import train; "
        "train(sys.argv[1], tokens=Path(sys.argv[2]), output=Path(sys.argv[3]))"
    )
    output = tmp_path / "run"
    process = subprocess.Popen([sys.executable, "-c", code, recipe, tokens, output], cwd=repository)
    while not list(output.glob("checkpoints/step-*")) and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not json.loads((output / "run.json").read_text())["finished"]
    assert_same(final_tensors(run(recipe)), final_tensors(uninterrupted))


def test_a_finished_run_is_left_alone(recipe: Path, tokens: Path, uninterrupted: Path, capsys: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*")}
    assert train(recipe, tokens=tokens, output=uninterrupted) == 0
    assert "this run is finished" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*")} == before


def test_another_recipe_is_refused_until_restart(recipe: Path, tokens: Path, run: Run, tmp_path: Path) -> None:
    output = run(recipe, stop_after=2)
    other = write_recipe(tmp_path / "other", ("layers: 2", "layers: 1"), ("clip_norm: 1.0", "clip_norm: 0.5"))
    with pytest.raises(
        MismatchError, match=r"differs in recipe\.model\.layers, recipe\.optim\.clip_norm.*--restart"
    ) as refusal:
        train(other, tokens=tokens, output=output)
    assert refusal.value.exit_code == 2
    assert checkpoint.read_state(checkpoint.found(output)).step == 2
    assert train(other, tokens=tokens, output=output, restart=True, stop_after=1) == STOPPED
    assert checkpoint.read_state(checkpoint.found(output)).step == 1
    assert [record["step"] for record in untimed(output) if record["kind"] == "step"] == [1]


def test_how_often_checkpoints_are_kept_may_change(recipe: Path, tokens: Path, run: Run, tmp_path: Path) -> None:
    output = run(recipe, stop_after=2)
    other = write_recipe(tmp_path / "other", ("every_steps: 4", "every_steps: 1"))
    assert train(other, tokens=tokens, output=output, stop_after=5) == STOPPED
    assert sorted(path.name[-2:] for path in output.glob("checkpoints/step-*")) == ["04", "05"]


def test_a_checkpoint_that_cannot_be_read_is_not_pruned_and_hinders_none(
    recipe: Path, tokens: Path, run: Run, tmp_path: Path
) -> None:
    output = run(recipe, stop_after=2)
    other = write_recipe(tmp_path / "other", ("every_steps: 4", "every_steps: 1"))
    assert train(other, tokens=tokens, output=output, stop_after=4) == STOPPED
    (output / "checkpoints" / "step-00000003" / checkpoint.STATE).write_text("{}")
    assert train(other, tokens=tokens, output=output, stop_after=6) == STOPPED
    assert sorted(path.name[-2:] for path in output.glob("checkpoints/step-*")) == ["03", "05", "06"]


def test_a_run_may_go_on_in_narrower_passes(
    recipe: Path, tokens: Path, run: Run, tmp_path: Path, uninterrupted: Path
) -> None:
    """As on a GPU with less memory: the same losses, for a step's gradients are those of its sequences."""
    output = run(recipe, stop_after=5)
    assert (
        train(write_recipe(tmp_path / "other", ("micro_batch: 8", "micro_batch: 3")), tokens=tokens, output=output) == 0
    )
    assert step_losses(output) == pytest.approx(step_losses(uninterrupted), rel=1e-5)


def test_a_checkpoint_of_another_model_is_refused(recipe: Path, tokens: Path, run: Run, tmp_path: Path) -> None:
    output = run(recipe, stop_after=2)
    other = run(write_recipe(tmp_path / "other", ("layers: 2", "layers: 1")), name="other-run", stop_after=3)
    shutil.copytree(other / "checkpoints" / "step-00000003", output / "checkpoints" / "step-00000003")
    with pytest.raises(MismatchError, match=r"step-00000003: made by another recipe"):
        train(recipe, tokens=tokens, output=output)


def test_changed_token_files_are_noticed(recipe: Path, tokens: Path, run: Run, tmp_path: Path) -> None:
    output = run(recipe, stop_after=2)
    changed = tmp_path / "changed"
    shutil.copytree(tokens, changed)
    shard = changed / "RefinedWeb-English" / "part-00000.tokens"
    content = shard.read_bytes()
    middle = slice(len(content) // 4, len(content) * 3 // 4)
    moved = content[middle][2:] + content[middle][:2]
    shard.write_bytes(content[: middle.start] + moved + content[middle.stop :])
    with pytest.raises(MismatchError, match="the sequences from position 18 on are not those"):
        train(recipe, tokens=changed, output=output)


def test_a_loss_that_is_not_a_number_stops_the_run(tokens: Path, run: Run, tmp_path: Path) -> None:
    """With a rate beyond reason the logits overflow within the first steps."""
    wild = write_recipe(tmp_path / "wild", ("peak: 1e-2, floor: 3e-3", "peak: 1e30, floor: 1e30"))
    with pytest.raises(
        DivergedError, match=r"step \d+ \(sequences \d+ to \d+\): (loss|grad_norm) is (nan|inf)"
    ) as stop:
        run(wild)
    assert stop.value.exit_code == 3


def test_a_recipe_too_large_for_the_gpu_is_said_to_be(recipe: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> bool:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    monkeypatch.setattr(loop, "_take", full)
    with pytest.raises(MemoryShortError, match=r"process 0: .*allocate 2.00 GiB\.\); lower micro_batch") as caught:
        run(recipe)
    assert caught.value.exit_code == 2


def test_a_vocabulary_too_small_is_refused(tokens: Path, run: Run, tmp_path: Path) -> None:
    small = write_recipe(tmp_path / "small", ("vocab: 320", "vocab: 256"))
    with pytest.raises(MismatchError, match=r"model\.vocab is 256, but the tokenizer of .* has 320"):
        run(small)


def test_a_damaged_run_record_is_named(recipe: Path, tokens: Path, run: Run) -> None:
    output = run(recipe, stop_after=1)
    for content, message in (("{", "cannot be read"), ("{}", "not a record"), ("[]", "not a record")):
        (output / "run.json").write_text(content)
        with pytest.raises(CheckpointError, match=rf"run\.json: {message}.*--restart"):
            train(recipe, tokens=tokens, output=output)


def test_checkpoints_of_unknown_origin_are_not_deleted(recipe: Path, tokens: Path, run: Run) -> None:
    output = run(recipe, stop_after=1)
    (output / "run.json").unlink()
    with pytest.raises(MismatchError, match=r"step-00000001: is there, but no .*run\.json"):
        train(recipe, tokens=tokens, output=output)
    assert checkpoint.found(output).name == "step-00000001"
    assert train(recipe, tokens=tokens, output=output, restart=True, stop_after=2) == STOPPED
    assert [path.name for path in (output / "checkpoints").iterdir()] == ["step-00000002"]


def test_one_process_at_a_time_trains_in_a_folder(recipe: Path, tokens: Path, run: Run, tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(BusyError, match="another process trains here") as refusal:
        run(recipe)
    assert refusal.value.exit_code == 2
    assert checkpoint.found(run(recipe, stop_after=1)).name == "step-00000001"


def test_it_says_what_it_is_and_where_the_report_is(recipe: Path, run: Run, capsys: Any) -> None:
    output = run(recipe, stop_after=1)
    shown = capsys.readouterr().out
    assert "tiny: 1 process(es); the first holds 99,072 of 99,072 parameter bytes" in shown
    assert f"report so far in {output}/report.html" in shown


def test_weights_of_another_tokenizer_are_refused(recipe: Path, uninterrupted: Path, tmp_path: Path) -> None:
    others = write_tokens(tmp_path, vocab=300)
    with pytest.raises(MismatchError, match=r"uninterrupted: its weights do not belong to these tokens"):
        train(recipe, tokens=others, output=tmp_path / "run", initial=uninterrupted)
    assert not (tmp_path / "run").exists()


def test_another_tokenizer_beside_the_tokens_is_refused(recipe: Path, tokens: Path, tmp_path: Path) -> None:
    shutil.copytree(tokens, tmp_path / "tokens")
    changed = json.loads((tokens / "tokenizer.json").read_text())
    changed["pre_tokenizer"] = None
    (tmp_path / "tokens" / "tokenizer.json").write_text(json.dumps(changed))
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: not the tokenizer that the tokens were made with"):
        train(recipe, tokens=tmp_path / "tokens", output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "tokens" / "tokenizer.json").write_text("{")
    with pytest.raises(TokenizerError, match=r"tokenizer\.json: not a tokenizer .*; restore the one"):
        train(recipe, tokens=tmp_path / "tokens", output=tmp_path / "run")
