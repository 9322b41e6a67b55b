import json
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from pipeline.errors import UsageError
from pipeline.lock import FILLED_WITHIN_S, NAME, _me, _take, locked


def test_a_living_process_keeps_others_out(tmp_path):
    with locked(tmp_path), pytest.raises(UsageError, match=f"process {os.getpid()} is working"), locked(tmp_path):
        pass
    assert not (tmp_path / NAME).exists()


def test_the_lock_of_a_killed_process_is_taken_over(tmp_path):
    taking = f"from pipeline.lock import _take; _take(pathlib.Path({str(tmp_path / NAME)!r}))"
    subprocess.run([sys.executable, "-c", f"import os, pathlib; {taking}; os._exit(9)"], check=False)
    assert (tmp_path / NAME).exists()
    with locked(tmp_path):
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()


def test_a_reused_process_number_is_not_the_holder(tmp_path):
    with locked(tmp_path):
        holder = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps(holder | {"started": holder["started"] - 1000}))
    with locked(tmp_path):
        pass


def test_a_lock_of_another_host_is_left_alone_and_named(tmp_path):
    (tmp_path / NAME).write_text(json.dumps({"host": "elsewhere", "pid": 1, "started": 0}))
    with pytest.raises(UsageError, match="host elsewhere.*delete this file"), locked(tmp_path):
        pass


def test_a_lock_cut_short_is_taken_over(tmp_path):
    (tmp_path / NAME).write_text('{"ho')
    with locked(tmp_path):
        pass


def test_a_lock_that_is_being_filled_is_left_alone(tmp_path):
    (tmp_path / NAME).touch()
    filling = threading.Timer(FILLED_WITHIN_S / 5, (tmp_path / NAME).write_text, [json.dumps(_me())])
    filling.start()
    with pytest.raises(UsageError, match=f"process {os.getpid()} is working"), locked(tmp_path):
        pass
    filling.join()


def test_of_two_that_find_a_dead_lock_one_gets_it(tmp_path, monkeypatch):
    path = tmp_path / NAME
    path.write_text(json.dumps(_me() | {"started": 0}))
    alive = psutil.Process

    def slow(*pid):  # both have read the dead lock before either deletes it
        time.sleep(0.2)
        return alive(*pid)

    monkeypatch.setattr("pipeline.lock.psutil.Process", slow)
    took: list[bool] = []

    def take():
        try:
            _take(path)
            took.append(True)
        except UsageError:
            took.append(False)

    both = [threading.Thread(target=take) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(took) == [False, True]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(UsageError, match=rf"{folder}: cannot be written to"), locked(folder):
            pass


def test_a_full_disk_leaves_no_lock_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.lock.json.dump", full)
    with pytest.raises(OSError, match="No space left"), locked(tmp_path):
        pass
    assert not list(tmp_path.iterdir())
