"""`falconmix plan`, as it is typed."""

import json
from pathlib import Path

import pytest

from tests.trainer.corpus import write_recipe

FALCON = ("plan", "falcon2-11b", "--gpus", 1024, "--gpu", "A100-40GB")


def test_the_published_training_is_planned(falconmix):
    code, out, err = falconmix(*FALCON)
    assert (code, err) == (0, "")
    assert "on 1,024 × A100-40GB, 128 nodes: shard 128 × tensor 8" in out
    assert "total          20.9 GiB of 37.3 GiB: fits" in out
    assert "60.1 days" in out
    assert "!" not in out


def test_programs_read_json(falconmix):
    code, out, _ = falconmix(*FALCON, "--json", "--efficiency", 0.46)
    found = json.loads(out)
    assert code == 0
    assert found["fits"] is True
    assert found["days"] == pytest.approx(30.1, abs=0.1)
    assert found["gpu_hours"] == pytest.approx(found["days"] * 24 * 1024)
    assert found["peak_bytes_per_rank"] == sum(found["memory"].values())
    assert found["layout"] == {"replicate": 1, "shard": 128, "context": 1, "tensor": 8}
    assert [stage["name"] for stage in found["stages"]] == ["stage-1", "stage-2", "stage-3", "stage-4"]
    step = found["stages"][0]["steps"][0]
    assert (step["batch"], step["passes"], step["limit"]) == (2048, 16, "compute")
    gathers = [one for one in step["collectives"] if (one["kind"], one["what"]) == ("all-gather", "parameters")]
    assert [(one["link"], one["processes"], one["calls"], one["bytes"]) for one in gathers] == [
        ("network", 128, 61, 2_710_519_808)
    ]


def test_what_is_too_big_says_what_to_change(falconmix):
    code, out, _ = falconmix("plan", "falcon2-11b", "--gpus", 16, "--gpu", "A10G-24GB")
    assert code == 0
    assert "! does not fit: stage-4 needs 28.5 GiB a rank, A10G-24GB has 22.4 GiB; largest are activations" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--gpus", 8, "--gpu", "abacus"), "--gpu abacus: not known; there are A100-40GB, "),
        (("--gpus", 9, "--gpu", "H100-80GB"), "is 8 processes, but there are 9"),
        (("--gpus", 8, "--gpu", "H100-80GB", "--stage", "stage-1"), "give --dry-run too"),
        (("--gpus", 8, "--gpu", "H100-80GB", "--efficiency", 2), "--efficiency 2.0: must be above 0"),
        (("--gpus", 8, "--gpu", "H100-80GB", "--set", "tensor=2"), "--set tensor=2: write micro_batch=N or layout."),
        (("--gpus", 8, "--gpu", "H100-80GB", "--dry-run", "--ranks", "a"), "'a' is not a list of numbers; write 0,127"),
    ],
)
def test_wrong_usage_is_told_and_exits_2(falconmix, arguments, message):
    code, _, err = falconmix("plan", "falcon2-11b", *arguments)
    assert code == 2
    assert message in err


def test_a_dry_run_shows_the_plan_beside_the_code(falconmix, tmp_path: Path):
    recipe = write_recipe(tmp_path)
    arguments = ("plan", recipe, "--gpus", 16, "--gpu", "H100-80GB", "--set", "layout.tensor=2", "--dry-run")
    code, out, err = falconmix(*arguments, "--stage", "four", "--ranks", "7", "--json")
    assert (code, err) == (0, "")
    (seen,) = json.loads(out)["dry_run"]
    assert (seen["stage"], seen["rank"], seen["mesh"]) == ("four", 14, "replicate 1 × parameters 8 × tensor 2")
    assert seen["shapes"]["h.*.mlp.dense_h_to_4h.weight"] == [4, 32]
    assert {row["name"] for row in seen["compared"]} >= {"peak memory", "arithmetic", "all-gather over 8"}
    assert all(row["difference"] == 0 for row in seen["compared"] if row["name"] != "peak memory")
