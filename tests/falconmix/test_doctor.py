import builtins
import json
import sys

import pytest

from falconmix import cli, doctor
from falconmix.doctor import Finding, as_json, examine, is_fit


def states(folder, environment=None):
    return {finding.topic: finding for finding in examine(folder, environment or {})}


def test_this_machine_is_fit_and_its_parts_are_named(tmp_path):
    found = states(tmp_path / "not" / "there" / "yet")
    assert all(found[name].state == "ok" for name in (*doctor.REQUIRED, "python", "memory", "writable"))
    assert found["writable"].text == str(tmp_path)
    assert set(doctor.OPTIONAL) <= set(found)


def test_credentials_are_named_and_never_shown(tmp_path):
    found = states(tmp_path, {"HF_TOKEN": "hf_secret", "AWS_PROFILE": ""})
    assert found["Hugging Face"] == Finding("Hugging Face", "ok", "HF_TOKEN set")
    assert found["AWS"].state == found["Google Cloud"].state == "missing"
    assert "secret" not in json.dumps(as_json(list(found.values())))


def test_an_output_that_is_a_file_is_a_problem(tmp_path):
    (tmp_path / "file").write_text("")
    found = states(tmp_path / "file")
    assert found["writable"].state == "problem"
    assert "choose another --output" in found["writable"].text
    assert not is_fit(list(found.values()))


def test_what_is_too_small_is_a_problem_with_its_mend(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "MIN_DISK_BYTES", 1 << 60)
    monkeypatch.setattr(doctor, "MIN_MEMORY_BYTES", 1 << 60)
    found = states(tmp_path)
    assert found["disk"].text.endswith("less than 10 GiB: free some space")
    assert found["memory"].state == "problem"


@pytest.mark.parametrize(("name", "state"), [("trafilatura", "problem"), ("obstore", "missing")])
def test_a_missing_part_is_a_problem_where_it_is_required(tmp_path, monkeypatch, name, state):
    monkeypatch.setattr(doctor, "_version", lambda asked: None if asked == name else "1")
    found = states(tmp_path)
    assert found[name].state == state
    assert is_fit(list(found.values())) == (state == "missing" or found["disk"].state == "problem")


def test_a_missing_psutil_is_named_like_any_part(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setattr(doctor, "_version", lambda asked: None if asked == "psutil" else "1")
    found = states(tmp_path)
    assert found["psutil"].state == "problem"
    assert "memory" not in found


def test_a_torch_that_cannot_be_imported_ends_nothing(tmp_path, monkeypatch):
    import_ = builtins.__import__

    def broken(name, *rest):
        if name == "torch":
            raise OSError("libcudart.so: cannot open shared object file")
        return import_(name, *rest)

    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(builtins, "__import__", broken)
    gpu = states(tmp_path)["gpu"]
    assert gpu.state == "missing"
    assert "libcudart.so" in gpu.text


def test_the_command_exits_by_fitness_and_speaks_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)
    monkeypatch.setattr(doctor, "MIN_DISK_BYTES", 0)
    assert cli.main(["doctor", "--output", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fit"] is True
    monkeypatch.setattr(doctor, "MIN_MEMORY_BYTES", 1 << 60)
    assert cli.main(["doctor", "--output", str(tmp_path)]) == 1
    assert "✗ memory" in capsys.readouterr().out
