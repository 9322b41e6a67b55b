import errno
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict_saver import save

from tests.trainer.runs import assert_same, tensors, untimed, with_checksums
from trainer import checkpoint, checksums, saving
from trainer.build import blank
from trainer.errors import CheckpointError, WriteError
from trainer.layout import Process
from trainer.parallel import joined

Run = Callable[..., Path]


def test_the_last_and_every_stages_end_are_kept(uninterrupted: Path) -> None:
    """Of 4, 8, 12, 16, 17, 20, 22: stages end at 8, 12, 17 and 22; 20 is among the last two."""
    kept = sorted(int(path.name.removeprefix("step-")) for path in (uninterrupted / "checkpoints").glob("step-*"))
    assert kept == [8, 12, 17, 20, 22]
    assert not list((uninterrupted / "checkpoints").glob(".*"))


def test_a_checkpoint_says_where_it_stood(uninterrupted: Path) -> None:
    state = checkpoint.read_state(uninterrupted / "checkpoints" / "step-00000012")
    assert (state.step, state.position, state.tokens) == (12, 125 + 41, 125 * 16 + 41 * 32)
    assert (state.stage, state.stage_complete, state.context, state.eod_id) == (1, True, 32, 11)
    assert state.next_sequences == 10  # two steps of the stage that follows
    assert state.config.model.hidden == 32
    assert sum(state.consumed.values()) == state.tokens
    assert set(state.consumed) == {"English", "Europe", "technical", "code", "conversational"}
    last = checkpoint.read_state(uninterrupted / "checkpoints" / "step-00000022")
    assert (last.next_sequences, last.next_digest) == (0, "")


def test_metrics_up_to_a_checkpoint_are_whole_lines(uninterrupted: Path) -> None:
    content = (uninterrupted / "metrics.jsonl").read_bytes()
    for path in (uninterrupted / "checkpoints").glob("step-*"):
        state = checkpoint.read_state(path)
        lines = content[: state.metrics_bytes].decode().splitlines()
        assert [json.loads(line)["step"] for line in lines][-1] == state.step
        assert content[: state.metrics_bytes].endswith(b"\n")


def test_it_holds_weights_moments_counts_and_rng(uninterrupted: Path) -> None:
    saved = tensors(uninterrupted / "checkpoints" / "step-00000022")
    parameters = {name.removeprefix("model.") for name in saved if name.startswith("model.")}
    assert saved.keys() == {f"{k}.{n}" for k in ("model", "exp_avg", "exp_avg_sq", "step") for n in parameters} | {
        "rng.0"
    }
    assert {saved[f"step.{name}"].item() for name in parameters} == {22.0}
    assert saved["rng.0"].dtype == torch.uint8


def test_a_gpus_random_numbers_are_kept_and_restored(
    uninterrupted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the CPU's; a checkpoint made on a CPU has none, and leaves the GPU's as they are."""
    on_gpu, given = Process(device_type="cuda"), []
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: torch.arange(16, dtype=torch.uint8))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: given.append((state.tolist(), device)))
    path = uninterrupted / "checkpoints" / "step-00000022"
    state = checkpoint.read_state(path)
    with joined(Process()) as mesh:
        trained = blank(state.config, state.config.stages[-1], mesh, Process())
        kept = checkpoint.rng_states(on_gpu)
        assert kept.keys() == {"rng.0", "rng.cuda.0"}
        kept["rng.cuda.0"] += 1
        save(trained.tensors() | kept, checkpoint_id=tmp_path / "on a gpu")
        with_checksums(tmp_path / "on a gpu")
        for where in (tmp_path / "on a gpu", path):
            checkpoint.restore(where, trained, state, on_gpu)
    assert given == [(list(range(1, 17)), on_gpu.device), (list(range(16)), on_gpu.device)]


def test_a_disk_that_is_full_leaves_the_earlier_checkpoint(
    recipe: Path, run: Run, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    stopped = run(recipe, stop_after=5)
    with monkeypatch.context() as patched, pytest.raises(WriteError, match=r"step-.*No space left.*free space") as stop:
        patched.setattr(saving, "async_save", full_disk)
        run(recipe)
    assert stop.value.exit_code == 1
    assert [path.name for path in (stopped / "checkpoints").glob(".*")] == []
    assert checkpoint.found(stopped).name == "step-00000005"
    resumed = run(recipe)
    assert_same(tensors(checkpoint.found(resumed)), tensors(checkpoint.found(uninterrupted)))
    assert untimed(resumed) == untimed(uninterrupted)


def test_saving_the_same_step_again_replaces_it(recipe: Path, run: Run, uninterrupted: Path) -> None:
    """As after a run cut off between the new name and the dropping of old ones."""
    stopped = run(recipe, stop_after=3)
    path = stopped / "checkpoints" / "step-00000003"
    first = tensors(path)
    path.rename(stopped / "checkpoints" / "set-aside")
    run(recipe, stop_after=3)
    assert_same(tensors(path), first)


@pytest.mark.parametrize("size", [0, 500])
@pytest.mark.parametrize("cut", ["__0_0.distcp", ".metadata"])
def test_a_checkpoint_with_a_file_cut_short_is_refused_without_a_traceback(
    uninterrupted: Path, tmp_path: Path, cut: str, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "step-00000022"
    shutil.copytree(uninterrupted / "checkpoints" / path.name, path)
    os.truncate(path / cut, size)
    with pytest.raises(CheckpointError, match="step-00000022: cannot be read .*use the checkpoint before it"):
        checkpoint.read_tensors(path, {"model.ln_f.weight": torch.empty(32)})
    shown = [record for record in caplog.records if record.name == "root" and record.levelno >= logging.WARNING]
    assert not shown


@pytest.mark.parametrize("missing", ["__0_0.distcp", ".metadata", "state.json", "B2SUMS"])
def test_a_checkpoint_that_is_not_whole_is_refused_and_the_one_before_it_serves(
    recipe: Path, run: Run, uninterrupted: Path, missing: str, capsys: Any
) -> None:
    run(recipe, stop_after=4)
    stopped = run(recipe, stop_after=5)
    last = checkpoint.found(stopped)
    (last / missing).unlink()
    with pytest.raises(CheckpointError, match=f"step-00000005: .*{missing}.* missing.*; "):
        run(recipe)
    assert "Traceback" not in capsys.readouterr().err
    shutil.rmtree(last)
    assert_same(tensors(checkpoint.found(run(recipe))), tensors(checkpoint.found(uninterrupted)))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("position", "x", "position: expected a whole number, found 'x'"),
        ("consumed", [], "consumed: expected a mapping"),
        ("losses", [1.0, None], r"losses\[1\]: expected a number"),
    ],
)
def test_a_state_of_a_wrong_form_is_refused(
    uninterrupted: Path, tmp_path: Path, key: str, value: object, message: str
) -> None:
    source = checkpoint.found(uninterrupted)
    content = json.loads((source / "state.json").read_text()) | {key: value}
    (tmp_path / "state.json").write_text(json.dumps(content))
    with_checksums(tmp_path)
    with pytest.raises(CheckpointError, match=f"state.json: cannot be read .*{message}.*use the checkpoint before it"):
        checkpoint.read_state(tmp_path)


def test_what_is_not_named_as_a_checkpoint_is_none(tmp_path: Path) -> None:
    for name in ("step-00000009", "step-00000012", "step-00000010.old", "step-later"):
        (tmp_path / name).mkdir()
    for name in ("step-notes.txt", "step-00000013"):
        (tmp_path / name).touch()
    assert [path.name for path in checkpoint.complete(tmp_path)] == ["step-00000009", "step-00000012"]
    assert checkpoint.latest(tmp_path) == tmp_path / "step-00000012"


@pytest.mark.parametrize("name", ["__0_0.distcp", ".metadata", "state.json", "tokenizer.json"])
def test_one_flipped_bit_is_noticed(uninterrupted: Path, tmp_path: Path, name: str) -> None:
    path = tmp_path / "step-00000022"
    shutil.copytree(uninterrupted / "checkpoints" / path.name, path)
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 4
    (path / name).write_bytes(content)
    message = f"step-00000022: cannot be read .its {re.escape(name)} is not what was written.*use the checkpoint before"
    with pytest.raises(CheckpointError, match=message):
        checkpoint.read_state(path)
        checkpoint.read_tensors(path, {"model.ln_f.weight": torch.empty(32)})


def test_a_run_does_not_go_on_from_changed_weights(recipe: Path, run: Run, uninterrupted: Path) -> None:
    run(recipe, stop_after=4)
    last = checkpoint.found(run(recipe, stop_after=5))
    with (last / "__0_0.distcp").open("r+b") as file:
        file.seek(-3000, os.SEEK_END)
        file.write(b"\xff" * 64)
    with pytest.raises(CheckpointError, match="step-00000005: cannot be read .*use the checkpoint before it"):
        run(recipe)
    shutil.rmtree(last)
    assert_same(tensors(checkpoint.found(run(recipe))), tensors(checkpoint.found(uninterrupted)))


def test_checksums_are_those_of_b2sum(uninterrupted: Path) -> None:
    path = checkpoint.found(uninterrupted)
    lines = (path / "B2SUMS").read_text().splitlines()
    assert {line[34:] for line in lines} == {file.name for file in path.iterdir()} - {"B2SUMS"}
    for line in lines:
        content = (path / line[34:]).read_bytes()
        assert line[:34] == hashlib.blake2b(content, digest_size=16).hexdigest() + "  "


def test_processes_share_the_reading_and_all_hear_of_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks one after another; what is asked of a rank before the others have spoken is not looked at."""
    names = [f"__{rank}_0.distcp" for rank in range(7)]
    for name in names:
        (tmp_path / name).write_text(name)
    with_checksums(tmp_path)
    read, said = [], [None, None, None]
    of_file = checksums.content_digest
    monkeypatch.setattr(checksums, "content_digest", lambda path: (read.append(path.name), of_file(path))[1])
    monkeypatch.setattr(dist, "get_world_size", lambda: 3)

    def verdicts() -> list[str | None]:
        return [verdict_of(rank) for rank in (0, 1, 2)]

    def verdict_of(rank: int) -> str | None:
        def gathered(parts: list[str | None], part: str | None) -> None:
            said[rank] = part
            parts[:] = said

        monkeypatch.setattr(dist, "get_rank", lambda: rank)
        monkeypatch.setattr(dist, "all_gather_object", gathered)
        return checksums.fault_of_any(tmp_path, alone=False)

    assert verdicts() == [None, None, None]
    assert sorted(read) == names
    (tmp_path / names[4]).write_text("changed")
    verdicts()
    (verdict,) = set(verdicts())
    assert verdict is not None and verdict.startswith("its __4_0.distcp is not what was written")
