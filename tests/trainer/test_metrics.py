import io
from pathlib import Path

import pytest

from trainer.errors import WriteError
from trainer.metrics import MetricsLog, Terminal, read


def record(step: int) -> dict[str, float | int | str]:
    return {
        "step": step,
        "stage": "one",
        "loss": 2.5,
        "z_loss": 1e-4,
        "lr": 1e-3,
        "grad_norm": 0.5,
        "tokens": 64 * step,
        "tokens_per_second": 1000.0,
    }


def test_a_log_is_cut_where_the_checkpoint_was(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    first = MetricsLog(path, keep_bytes=0)
    first.write(record(1))
    kept = first.size()
    first.write(record(2))
    first.close()
    second = MetricsLog(path, keep_bytes=kept)
    second.write(record(3))
    second.close()
    assert [line["step"] for line in read(path)] == [1, 3]
    assert kept == len(path.read_text().splitlines()[0]) + 1


def test_a_log_without_a_path_writes_nothing(tmp_path: Path) -> None:
    log = MetricsLog(None, keep_bytes=0)
    log.write(record(1))
    assert log.size() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_named_once(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl", keep_bytes=0)
    log._file = Path("/dev/full").open("a")  # noqa: SIM115
    with pytest.raises(WriteError, match=r"metrics\.jsonl: cannot be written \(No space left on device\)") as stop:
        log.write(record(1))
    assert stop.value.exit_code == 1
    log.close()


def test_elsewhere_than_on_a_terminal_lines_are_rare() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream, steps=9, interval_s=3600)
    for step in range(1, 10):
        terminal.step(record(step))
    terminal.line("one end")
    shown, last = stream.getvalue().splitlines()
    assert shown.startswith("step 1/9  one  loss 2.5000")
    assert last == "one end"


def test_on_a_terminal_the_line_renews_itself() -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Screen()
    terminal = Terminal(stream, steps=9)
    terminal.step(record(1))
    terminal.step(record(2))
    assert stream.getvalue().count("\r\x1b[K") == 2
    assert "\n" not in stream.getvalue()
