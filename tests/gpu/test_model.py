"""The model on a GPU: bf16, documents, compiled, recomputed, float8; parameter by parameter.

A number in bf16 is off by up to 2⁻⁹ of itself, 2e-3; after two blocks there and back, gradients are off by 3.3e-2 of
their norm at most (on a CPU). Allowed is twice that: what these tests are to find is off by far more.
"""

from importlib.util import find_spec

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.gpu.models import CONFIG, CONTEXT, assert_close, batch, documents, gradients, model_of
from trainer import attention
from trainer.build import sharded_model
from trainer.config import BatchSize, Rate, StageConfig
from trainer.hf import hf_names
from trainer.hf_config import falcon_config
from trainer.layout import Layout, Process
from trainer.parallel import Mesh

BF16, FP32 = torch.bfloat16, torch.float32
OF_BF16, OF_FP32 = 7e-2, 1e-4
STAGE = StageConfig(
    name="one",
    rope_theta=500_042.0,
    tied=True,
    adam_eps=1e-8,
    rate=Rate(peak=1e-3, floor=1e-4),
    batch=(BatchSize(from_tokens=0, sequences=1),),
)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_bf16_is_near_fp32(device: torch.device, tied: bool) -> None:
    inputs, targets = batch(device)
    exact = gradients(model_of(device, tied=tied), inputs, targets)
    assert_close(gradients(model_of(device, BF16, tied=tied), inputs, targets), exact, OF_BF16)


def test_logits_are_those_of_transformers(device: torch.device) -> None:
    from transformers import FalconConfig, FalconForCausalLM

    settings = falcon_config(CONFIG, rope_theta=500_042.0, tied=True, context=CONTEXT, eod_id=11)
    theirs = FalconForCausalLM(FalconConfig(**{k: v for k, v in settings.items() if k != "rope_theta"}))
    theirs.load_state_dict(hf_names(model_of(torch.device("cpu"))), strict=False)
    theirs.train(False)
    inputs, _ = batch(device)
    for dtype, tolerance in ((FP32, OF_FP32), (BF16, OF_BF16)):
        with torch.no_grad():
            expected = theirs.to(device, dtype)(inputs).logits.float()
            off = (model_of(device).to(dtype)(inputs).float() - expected).norm() / expected.norm()
        assert float(off) <= tolerance


@pytest.mark.kernels
@pytest.mark.parametrize("kernel", ["flash_attn", "torch"])
@pytest.mark.parametrize("recompute", ["none", "selective"])
def test_kernels_for_documents_do_what_the_mask_does(
    device: torch.device, kernel: str, recompute: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kernel == "flash_attn" and find_spec("flash_attn") is None:
        pytest.skip("flash-attn is not installed")
    inputs, targets = batch(device)
    model, numbers = model_of(device, BF16), documents(device)
    monkeypatch.setattr(attention, "document_kernel", lambda: None)
    masked, masked_logits = gradients(model, inputs, targets, numbers), model(inputs, numbers).float()
    whole_logits = model(inputs).float()
    monkeypatch.setattr(attention, "document_kernel", lambda: kernel)
    for block in model.blocks:
        block.recompute = recompute  # type: ignore[assignment]
    assert attention.Look.of(numbers).starts is not None
    assert_close(gradients(model, inputs, targets, numbers), masked, OF_BF16)
    off = (model(inputs, numbers).float() - masked_logits).norm() / masked_logits.norm()
    assert float(off) <= OF_BF16
    assert float((whole_logits - masked_logits).norm() / masked_logits.norm()) > 3 * OF_BF16


@pytest.mark.kernels
def test_flash_attention_takes_grouped_queries(device: torch.device) -> None:
    """Were it not so, every T × T matrix would be written out."""
    inputs, targets = batch(device)
    model = model_of(device, BF16)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        flash = gradients(model, inputs, targets)
    with sdpa_kernel(SDPBackend.MATH):
        assert_close(flash, gradients(model, inputs, targets), OF_BF16)


@pytest.mark.kernels
def test_a_mask_does_not_write_out_all_pairs(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, targets = batch(device)
    model = model_of(device, BF16)
    monkeypatch.setattr(attention, "document_kernel", lambda: None)
    with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
        masked = gradients(model, inputs, targets, documents(device))
    with sdpa_kernel(SDPBackend.MATH):
        assert_close(masked, gradients(model, inputs, targets, documents(device)), OF_BF16)


@pytest.mark.kernels
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_nothing_waits_for_the_gpu_between_tokens_and_gradients(device: torch.device, compiled: bool) -> None:
    inputs, targets = batch(device)
    model = model_of(device, BF16)
    for block in model.blocks if compiled else ():
        block.compile()
    expected = gradients(model, inputs, targets)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = gradients(model, inputs, targets)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert_close(found, expected, OF_BF16)


@pytest.mark.parametrize("parted", [False, True], ids=["windows", "documents"])
@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("dtype", [FP32, BF16], ids=["fp32", "bf16"])
def test_compiled_is_eager(device: torch.device, dtype: torch.dtype, recompute: str, parted: bool) -> None:
    torch._dynamo.reset()
    inputs, targets = batch(device)
    # In fp32 there is no kernel for documents but the mask's.
    numbers = documents(device) if parted and (dtype is BF16 or device.type == "cpu") else None
    model = model_of(device, dtype)
    eager = gradients(model, inputs, targets, numbers)
    for block in model.blocks:
        block.recompute = recompute  # type: ignore[assignment]
        block.compile(fullgraph=True, backend="inductor" if device.type == "cuda" else "aot_eager")
    assert_close(gradients(model, inputs, targets, numbers), eager, OF_BF16 if dtype is BF16 else OF_FP32)


@pytest.mark.parametrize("recompute", ["selective", "full"])
def test_recomputed_activations_are_those_that_were_kept(device: torch.device, recompute: str) -> None:
    inputs, targets = batch(device)
    model = model_of(device, BF16)
    kept = gradients(model, inputs, targets)
    for block in model.blocks:
        block.recompute = recompute  # type: ignore[assignment]
    # Not the last bit: flash attention adds up the queries' gradients in any order.
    assert_close(gradients(model, inputs, targets), kept, 1e-2)


@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
def test_sharded_over_one_process_is_plain(process: Process, mesh: Mesh, compiled: bool) -> None:
    """FSDP's mixed precision beside a copy of the weights in bf16 (fp32 in a rehearsal)."""
    torch._dynamo.reset()
    device = process.device
    model = sharded_model(CONFIG, STAGE, Layout(compile=compiled and device.type == "cuda"), mesh, process)
    with torch.no_grad():
        for ours, theirs in zip(model.parameters(), model_of(device).parameters(), strict=True):
            ours.to_local().copy_(theirs)  # type: ignore[attr-defined]
    assert {p.dtype for p in model.parameters()} == {FP32}
    inputs, targets = batch(device)
    plain = model_of(device, BF16 if device.type == "cuda" else FP32)
    assert_close(gradients(model, inputs, targets), gradients(plain, inputs, targets), OF_BF16)


@pytest.mark.kernels
def test_float8_learns(process: Process, mesh: Mesh) -> None:
    pytest.importorskip("torchao", reason="torchao is not installed")
    if torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("this GPU has no float8")
    from trainer.build import initialise

    torch._dynamo.reset()
    losses = {}
    for float8 in (False, True):
        model = sharded_model(CONFIG, STAGE, Layout(compile=True, float8=float8), mesh, process)
        initialise(model, CONFIG, 1)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
        inputs, targets = batch(process.device)
        losses[float8] = []
        for _ in range(30):
            losses[float8].append(gradients(model, inputs, targets)["loss"].item())
            optimizer.step()
    assert losses[True][0] == pytest.approx(losses[False][0], rel=1e-2)
    assert losses[True][-1] < losses[True][0] - 1.0
    assert losses[True][-1] == pytest.approx(losses[False][-1], abs=0.2)
