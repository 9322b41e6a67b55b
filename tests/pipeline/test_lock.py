import json
import os
import subprocess
import sys

import pytest

from pipeline.errors import UsageError
from pipeline.lock import NAME, locked


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
