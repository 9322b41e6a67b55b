"""The launchers in examples/: each is read by what it is written for."""

import json
import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from torch.distributed.run import get_args_parser

from falconmix import cli
from tests.trainer.corpus import write_recipe, write_tokens

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def trained(arguments: list[str]) -> tuple[Any, Any]:
    """What torchrun, and then falconmix, make of arguments."""
    launch = get_args_parser().parse_args(arguments)
    assert (launch.module, launch.training_script) == (True, "falconmix.cli")
    return launch, cli.parser().parse_args(launch.training_script_args)


def test_slurms_script_starts_torchrun_on_every_node(tmp_path: Path) -> None:
    for name, text in {
        "scontrol": "echo node-a; echo node-b",
        "srun": 'printf "%s\\n" "$PET_SIGNALS_TO_HANDLE" "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"SLURM_JOB_NODELIST": "node-[a-b]", "SLURM_NNODES": "2", "SLURM_JOB_ID": "77"}
    script = EXAMPLES / "slurm.sh"
    subprocess.run(["bash", "-n", script], check=True)
    done = subprocess.run(
        ["bash", script, "falcon2-11b", "/data/my tokens", "/data/run"],
        env={**slurm, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    signals, program, *arguments = done.stdout.splitlines()
    launch, options = trained(arguments)
    assert program == "torchrun"
    assert (launch.nnodes, launch.nproc_per_node, launch.rdzv_endpoint) == ("2", "8", "node-a:29500")
    assert "SIGUSR1" in signals.split(",")
    assert (options.command, options.recipe, str(options.tokens)) == ("train", "falcon2-11b", "/data/my tokens")
    lacking = subprocess.run(["bash", script, "demo"], env=slurm, capture_output=True, text=True, check=False)
    assert lacking.returncode
    assert "token folder" in lacking.stderr


def test_kubernetes_job_starts_torchrun_in_every_pod() -> None:
    service, job = yaml.safe_load_all((EXAMPLES / "kubernetes.yaml").read_text())
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    launch, options = trained(container["args"])
    assert container["command"] == ["torchrun"]
    nodes = int(launch.nnodes)
    assert job["spec"]["completionMode"] == "Indexed"
    assert nodes == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert int(launch.nproc_per_node) == container["resources"]["limits"]["nvidia.com/gpu"]
    name = job["metadata"]["name"]
    assert launch.rdzv_endpoint == f"{name}-0.{service['metadata']['name']}:29500"
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["selector"] == {"job-name": name}
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts.keys() == {volume["name"] for volume in pod["volumes"]}
    assert all(str(path).startswith(mounts["shared"] + "/") for path in (options.tokens, options.output))


@pytest.fixture
def ray_train() -> ModuleType:
    spec = spec_from_file_location("ray_train", EXAMPLES / "ray_train.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_rays_launcher_reads_its_arguments(ray_train: ModuleType) -> None:
    options = ray_train.parser().parse_args(["demo", "--tokens", "tokens", "--output", "run", "--gpus", "16"])
    assert (options.recipe, options.tokens, options.gpus, options.workers) == ("demo", Path("tokens"), 16, None)
    with pytest.raises(SystemExit):
        ray_train.parser().parse_args(["demo", "--tokens", "tokens", "--output", "run"])


@pytest.mark.slow
def test_rays_launcher_trains_in_two_workers(repository: Path, tmp_path: Path) -> None:
    recipe, tokens = write_recipe(tmp_path / "recipe"), write_tokens(tmp_path / "corpus")
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0"}
    command = [sys.executable, EXAMPLES / "ray_train.py", recipe, "--tokens", tokens, "--output", tmp_path / "run"]
    done = subprocess.run(
        [*command, "--workers", "2"], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert json.loads((tmp_path / "run" / "run.json").read_text())["finished"] is True
