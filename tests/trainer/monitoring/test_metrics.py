import io
from pathlib import Path

import pytest

from trainer.errors import WriteError
from trainer.monitoring.metrics import MetricsLog, Record, Terminal, read, step_line


def record(step: int) -> Record:
    return {
        "step": step,
        "stage": "one",
        "loss": 2.5,
        "z_loss": 1e-4,
        "lr": 1e-3,
        "grad_norm": 0.5,
        "tokens": 64 * step,
        "tokens_per_second": 1000.0,
        "tokens_per_second_per_process": 250.0,
        "memory_bytes": 3 * 2**30,
        "data_wait_s": 0.04,
        "eta_stage_s": 7500.0,
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
    assert shown == ("1/9 one loss 2.500 z 1e-04 lr 1.0e-03 grad 0.50 250 tok/s/process 3.00GiB wait 0.0s ETA 2h05m")
    assert last == "one end"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_the_line_renews_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    stream = Screen()
    terminal = Terminal(stream, steps=9)
    terminal.step(record(1))
    terminal.step(record(2))
    assert stream.getvalue().count("\r\x1b[J") == 2
    assert "\n" not in stream.getvalue()


def test_the_line_of_a_large_run_on_gpus_fits_into_120_columns() -> None:
    large = record(65432) | {
        "stage": "stage-4",
        "tokens_per_second_per_process": 12345.6,
        "mfu": 0.451,
        "mfu_of": 989.4e12,
        "memory_bytes": 131.4 * 2**30,
        "eta_stage_s": 1051200.0,
    }
    line = step_line(large, steps=81920, each="GPU")
    assert "12.3k tok/s/GPU MFU 45% of 989T 131GiB wait 0.0s ETA 12d04h" in line
    assert len(line) < 120  # a terminal of 120 has room for one less, or the line would wrap


def test_on_a_narrow_terminal_nothing_is_cut_and_all_lines_are_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Screen()
    terminal = Terminal(stream, steps=9)
    terminal.step(record(1))
    first = stream.getvalue().removeprefix("\r\x1b[J")
    assert first.replace("\n", " ") == step_line(record(1), steps=9, each="process")
    assert max(map(len, first.split("\n"))) < 40 and first.count("\n") == 2
    terminal.step(record(2))
    assert stream.getvalue().count("\r\x1b[A\x1b[A\x1b[J") == 1
    terminal.line("held-out")
    terminal.step(record(3))
    assert stream.getvalue().count("\r\x1b[A\x1b[A\x1b[Jheld-out\n\r\x1b[J3/9") == 1


def test_records_are_handed_on_and_everything_is_closed(tmp_path: Path) -> None:
    class Kept:
        def __init__(self) -> None:
            self.seen: list[Record] = []
            self.closed = False

        def write(self, record: Record) -> None:
            self.seen.append(record)

        def close(self) -> None:
            self.closed = True
            raise RuntimeError("no more")

    sinks = (Kept(), Kept())
    log = MetricsLog(tmp_path / "metrics.jsonl", keep_bytes=0, sinks=sinks)
    log.write(record(1))
    size = log.size()
    log.write(record(2))
    with pytest.raises(RuntimeError, match="no more"):
        log.close()
    assert [sink.seen for sink in sinks] == [[record(1), record(2)]] * 2
    assert all(sink.closed for sink in sinks)
    assert read(tmp_path / "metrics.jsonl", size) == [record(1)]
