"""The ledger beside torch's own trackers, on a model that both understand."""

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.flop_counter import FlopCounterMode

from trainer.plan.ledger import Ledger


def test_peak_memory_and_arithmetic_are_those_of_torchs_trackers() -> None:
    with FakeTensorMode():
        model = nn.Sequential(nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 256))
        batch = torch.zeros(512, 256)
        tracker, counter = MemTracker(), FlopCounterMode(display=False)
        tracker.track_external(model, batch)
        ledger = Ledger([*model.parameters(), batch])
        before = ledger.live_bytes
        with tracker, counter, ledger:
            model(batch).square().sum().backward()
        theirs = tracker.get_tracker_snapshot("peak")[torch.device("cpu")]["Total"]
        gradients = sum(parameter.nbytes for parameter in model.parameters())
    assert before == gradients + 512 * 256 * 4
    assert ledger.peak_bytes == theirs
    assert ledger.flops == counter.get_total_flops() == 2 * 512 * 256 * 1024 * 5  # no gradient of the batch
    assert ledger.live_bytes == before + gradients


def test_a_storage_that_shrinks_in_place_is_noticed() -> None:
    ledger = Ledger()
    with ledger:
        tensor = torch.zeros(1000)
        assert ledger.live_bytes == 4000
        tensor.untyped_storage().resize_(0)
        assert ledger.live_bytes == 0
        tensor.untyped_storage().resize_(4000)
        assert ledger.live_bytes == 4000
        del tensor
        assert (ledger.live_bytes, ledger.peak_bytes) == (0, 4000)


def test_attention_counts_its_causal_half_and_twice_that_going_backward() -> None:
    query = torch.randn(2, 4, 64, 16, requires_grad=True)
    key, value = (torch.randn(2, 4, 64, 16, requires_grad=True) for _ in range(2))
    ledger = Ledger()
    with ledger:
        nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True).sum().backward()
    forward = 2 * (2 * 4 * 64 * 64 * 16) * 2 // 2  # two products, half of the pairs
    assert ledger.flops == 3 * forward
