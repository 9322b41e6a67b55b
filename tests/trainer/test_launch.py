"""The torchrun lines, read by torchrun's own parser and the command's."""

import shlex

import pytest
from torch.distributed.run import get_args_parser

from falconmix import cli
from trainer.errors import MismatchError
from trainer.launch import Launch, torchrun_line
from trainer.layout import Layout

ARGUMENTS = ["falcon2-11b", "--tokens", "my tokens", "--output", "run"]


def test_many_nodes_meet_at_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    line = torchrun_line(Launch(nodes=128, gpus_per_node=8), Layout(tensor=8), ARGUMENTS)
    assert line == (
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT=300 PET_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1 "
        "torchrun --nnodes=128 --rdzv-backend=c10d --rdzv-endpoint=$FIRST_NODE:29500 --rdzv-id=falconmix "
        "--nproc-per-node=8 -m falconmix.cli train falcon2-11b "
        "--tokens 'my tokens' --output run"
    )
    patience, signals, program, *words = shlex.split(line)
    assert (patience, program) == ("TORCH_ELASTIC_SHUTDOWN_TIMEOUT=300", "torchrun")
    monkeypatch.setenv(*signals.split("="))
    read = get_args_parser().parse_args(words)
    assert "SIGUSR1" in read.signals_to_handle
    assert (read.nnodes, read.nproc_per_node, read.rdzv_endpoint) == ("128", "8", "$FIRST_NODE:29500")
    assert (read.module, read.training_script) == (True, "falconmix.cli")
    options = cli.parser().parse_args(read.training_script_args)
    assert (options.command, options.recipe, str(options.tokens)) == ("train", "falcon2-11b", "my tokens")


def test_one_node_needs_no_meeting_place() -> None:
    line = torchrun_line(Launch(nodes=1, gpus_per_node=8), Layout(), ARGUMENTS)
    assert " torchrun --standalone --nproc-per-node=8 " in line and " -m falconmix.cli train falcon2-11b " in line
    assert "rdzv" not in line


@pytest.mark.parametrize(
    ("nodes", "per_node", "layout", "message"),
    [
        (2, 8, Layout(shard=4), "shard 4 × context 1 × tensor 1 is 4 processes, but there are 16"),
        (4, 4, Layout(tensor=8), "tensor 8 does not divide the 4 GPUs of a node; its ranks must share one"),
        (0, 8, Layout(), r"0 node\(s\) of 8 GPU\(s\): both must be at least 1"),
    ],
)
def test_what_cannot_be_launched_is_refused(nodes: int, per_node: int, layout: Layout, message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        torchrun_line(Launch(nodes=nodes, gpus_per_node=per_node), layout, ARGUMENTS)
