"""A training step of Falcon2-11B's width on one GPU, beside transformers' own Falcon.

    python benchmarks/trainer_gpu.py --json
    python benchmarks/trainer_gpu.py --blocks 4 --contexts 8192 --recompute full --json

Whole width, fewer blocks (`--blocks`): one GPU has no room for 60 of them with their moments. Both sides have the same
initial weights, the same tokens (documents are not parted), the same FSDP2 with fp32 weights, bf16 arithmetic and fp32
gradients, the same clipping and the same fused AdamW, and are compiled block by block in the same way where it says so.
A step is `--tokens` tokens in one forward pass. The peer computes its loss as `FalconForCausalLM` does; ours has z-loss
in addition. `first_loss` shows that both compute the same. A variant that fails, for want of memory or of a package, is
named with its error and left out.

Milliseconds are the median of `--steps` steps after `--warmup`, the device waited for after each. MFU is the model's
operations, counted as `trainer.monitoring.flops` says, over those that the GPU could do (`mfu_of`: dense bf16, by its
name or by `--peak-tflops`). Peak memory is what torch allocated at most. `ratio` is our fastest variant in bf16 beside
the peer's fastest, `like_for_like` the same with both compiled or both not.

`--device cpu` shows that the program works; its figures mean nothing, and there is no MFU among them. Needs torch,
transformers, safetensors, tokenizers, pyarrow, pyyaml and numpy alone; flash-attn and torchao are used where installed.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

# Run as it is from a checkout, without being installed.
if __name__ == "__main__":
    import sys

    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from trainer.build import blank, initialise
from trainer.config import ModelConfig, StageConfig, TrainConfig, load_recipe
from trainer.hf_config import falcon_config
from trainer.layout import Layout, Process
from trainer.loss import loss_sums, objective
from trainer.monitoring.flops import CONVENTION, flops_per_token, peak_flops
from trainer.optim import adamw, tune
from trainer.parallel import Mesh, full, joined

RECIPE: Final = "falcon2-11b"
RATE: Final = 1e-4
Figures = dict[str, Any]
Step = Callable[[], Tensor]
"""Takes one step and returns its loss, before it."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to train."""

    side: str
    compile: bool
    attention: str
    float8: bool = False

    @property
    def name(self) -> str:
        """As the figures call it."""
        return " ".join(
            (self.side, self.attention, "compiled" if self.compile else "eager", *(["float8"] if self.float8 else []))
        )


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all variants share."""

    config: TrainConfig
    stage: StageConfig
    mesh: Mesh
    process: Process
    weights: dict[str, Tensor]
    options: argparse.Namespace


def main() -> None:
    options = _options()
    torch.manual_seed(0)
    process = Process(device_type=options.device)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("no GPU here; --device cpu shows that the program works, its figures mean nothing")
    config, stage = sliced(options)
    with joined(process) as mesh:
        bench = Bench(
            config=config, stage=stage, mesh=mesh, process=process, weights=drawn(config, stage, mesh), options=options
        )
        contexts = {
            context: [measured(bench, variant, context) for variant in variants(options)]
            for context in options.contexts
        }
    peak, source = peak_asked_for(options)
    figures = {
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "torch": torch.__version__,
        "blocks": config.model.layers,
        "hidden": config.model.hidden,
        "parameters": sum(tensor.numel() for tensor in bench.weights.values()),
        "recompute": options.recompute,
        "mfu_of": peak,
        "peak_source": source,
        "convention": CONVENTION,
        "contexts": [summary(context, found, config.model, peak) for context, found in contexts.items()],
    }
    print_figures(figures)
    if options.json:
        print(json.dumps(figures))


def sliced(options: argparse.Namespace) -> tuple[TrainConfig, StageConfig]:
    """The recipe with the blocks and the width asked for."""
    config = load_recipe(RECIPE)
    sizes = {name: getattr(options, name) for name in ("hidden", "heads", "kv_heads", "mlp", "vocab")}
    given = {name: size for name, size in sizes.items() if size is not None}
    model = replace(config.model, layers=options.blocks, **given)
    return replace(config, model=model, layout=Layout()), config.stages[0]


def variants(options: argparse.Namespace) -> Iterator[Variant]:
    """Ours, and the peer with each attention that is installed; eager first, which needs no compiler."""
    kinds = (False,) if options.eager else (False, True)
    for compiled in kinds:
        yield Variant(side="falconmix", compile=compiled, attention="sdpa")
    if options.float8:
        yield Variant(side="falconmix", compile=True, attention="sdpa", float8=True)
    flash = options.device == "cuda" and find_spec("flash_attn") is not None
    for attention in ("sdpa", *(["flash_attention_2"] if flash else [])):
        for compiled in kinds:
            yield Variant(side="transformers", compile=compiled, attention=attention)


def drawn(config: TrainConfig, stage: StageConfig, mesh: Mesh) -> dict[str, Tensor]:
    """The initial weights of all variants, in the host's memory."""
    process = Process(device_type=mesh.whole.device_type)
    model = blank(config, stage, mesh, process).model
    initialise(model, config.model, config.seed)
    return {name: full(parameter).detach().cpu() for name, parameter in model.named_parameters()}


def measured(bench: Bench, variant: Variant, context: int) -> Figures:
    """Figures of a variant, built anew; an `error` in place of them where it cannot do that."""
    print(f"context {context}: {variant.name} …", flush=True)
    _clear()
    try:
        model = ours(bench, variant) if variant.side == "falconmix" else peer(bench, variant)
        optimizer = adamw(model, bench.config.optim)
        tune(optimizer, rate=RATE, eps=bench.stage.adam_eps)
        fill(model, bench.weights)
        step = our_step if variant.side == "falconmix" else their_step
        figures = timed(step(bench, model, optimizer, context), bench, variant, context)
        print(f"  {figures['ms']:.1f} ms, {figures['tokens_per_s']:,.0f} tokens/s", flush=True)
    except Exception as error:
        figures = _failed(variant, error)
    return figures


def ours(bench: Bench, variant: Variant) -> nn.Module:
    """Our model, as a run builds it."""
    layout = Layout(compile=variant.compile, float8=variant.float8, recompute=bench.options.recompute)
    return blank(replace(bench.config, layout=layout), bench.stage, bench.mesh, bench.process).model


def peer(bench: Bench, variant: Variant) -> nn.Module:
    """transformers' model, spread, typed and compiled like ours."""
    from transformers import FalconConfig, FalconForCausalLM

    settings = falcon_config(
        bench.config.model, rope_theta=bench.stage.rope_theta, tied=True, context=max(bench.options.contexts), eod_id=11
    )
    del settings["rope_theta"]
    config = FalconConfig(**settings, use_cache=False)
    with bench.process.device:
        model = FalconForCausalLM._from_config(config, attn_implementation=variant.attention, dtype=torch.float32)
    model.train()
    if bench.options.recompute == "full":
        model.gradient_checkpointing_enable({"use_reentrant": False})
    mixed = bench.options.device == "cuda"
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if mixed else None,
        reduce_dtype=torch.float32 if mixed else None,
        cast_forward_inputs=False,
    )
    for block in model.transformer.h:
        if variant.compile:
            block.compile()
        fully_shard(block, mesh=bench.mesh.sharded, mp_policy=policy)
    fully_shard(model, mesh=bench.mesh.sharded, mp_policy=policy)
    return model  # type: ignore[no-any-return]


@torch.no_grad()
def fill(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Give a model the initial weights. Names are those of `FalconForCausalLM`, whose prefix ours go without."""
    parameters = dict(model.named_parameters())
    if len(parameters) != len(weights):
        raise AssertionError(f"{len(parameters)} parameters where there are weights for {len(weights)}")
    for name, parameter in parameters.items():
        # One process: its part is the whole.
        parameter.to_local().copy_(weights[name.removeprefix("transformer.")])  # type: ignore[attr-defined]


def batch(bench: Bench, context: int) -> tuple[Tensor, Tensor]:
    """Random inputs and targets, the same for every variant."""
    rows = max(1, bench.options.tokens // context)
    generator = torch.Generator().manual_seed(context)
    tokens = torch.randint(0, bench.config.model.vocab, (rows, context + 1), generator=generator)
    tokens = tokens.to(bench.process.device)
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def our_step(bench: Bench, model: nn.Module, optimizer: torch.optim.Optimizer, context: int) -> Step:
    """A step as the training loop takes it."""
    inputs, targets = batch(bench, context)

    def step() -> Tensor:
        sums = loss_sums(model(inputs), targets)
        torch.autograd.backward(objective(sums, step_tokens=targets.numel(), z_loss=bench.config.optim.z_loss, world=1))
        _update(bench, model, optimizer)
        return sums.cross_entropy / targets.numel()

    return step


def their_step(bench: Bench, model: nn.Module, optimizer: torch.optim.Optimizer, context: int) -> Step:
    """A step with the loss that the peer computes by itself."""
    inputs, targets = batch(bench, context)

    def step() -> Tensor:
        loss: Tensor = model(input_ids=inputs, labels=targets, shift_labels=targets, use_cache=False).loss
        torch.autograd.backward(loss)
        _update(bench, model, optimizer)
        return loss.detach()

    return step


def _update(bench: Bench, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    torch.nn.utils.clip_grad_norm_(model.parameters(), bench.config.optim.clip_norm)
    optimizer.step()
    optimizer.zero_grad()


def timed(step: Step, bench: Bench, variant: Variant, context: int) -> Figures:
    """Median time of a step, and the memory it takes."""
    on_gpu, options = bench.options.device == "cuda", bench.options
    started = time.perf_counter()
    first_loss = step().item()
    first_s = time.perf_counter() - started
    for _ in range(options.warmup):
        step().item()
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(options.steps):
        started = time.perf_counter()
        step().item()
        if on_gpu:
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    tokens = max(1, options.tokens // context) * context
    return {
        "variant": variant.name,
        "side": variant.side,
        "compiled": variant.compile,
        "float8": variant.float8,
        "tokens": tokens,
        "first_loss": first_loss,
        "first_step_s": first_s,
        "ms": 1e3 * median(times),
        "tokens_per_s": tokens / median(times),
        "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else None,
    }


def peak_asked_for(options: argparse.Namespace) -> tuple[float | None, str]:
    """FLOP/s that MFU is a share of, and where they come from; None on a CPU and for a GPU that is not known."""
    if options.device != "cuda":
        return None, "a CPU: no MFU"
    if options.peak_tflops is not None:
        return options.peak_tflops * 1e12, "--peak-tflops"
    name = torch.cuda.get_device_name()
    peak = peak_flops(name)
    return peak, f"{name}, dense bf16" if peak else f"{name} is not known: give --peak-tflops"


def summary(context: int, found: list[Figures], model: ModelConfig, peak: float | None) -> Figures:
    """The variants of one context, with their MFU, and ours beside the peer's."""
    flops = flops_per_token(model, context)
    done = [figures for figures in found if "error" not in figures]
    for figures in done:
        figures["mfu"] = None if peak is None else figures["tokens_per_s"] * flops / peak
    return {
        "context": context,
        "flops_per_token": flops,
        "variants": found,
        "ratio": _ratio(done),
        "like_for_like": {
            name: _ratio([figures for figures in done if figures["compiled"] is compiled])
            for name, compiled in (("eager", False), ("compiled", True))
        },
    }


def _ratio(done: list[Figures]) -> float | None:
    best = {
        side: [figures["tokens_per_s"] for figures in done if figures["side"] == side and not figures["float8"]]
        for side in ("falconmix", "transformers")
    }
    return max(best["falconmix"]) / max(best["transformers"]) if all(best.values()) else None


def _failed(variant: Variant, error: Exception) -> Figures:
    text = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    print(f"  failed: {text}", flush=True)
    return {"variant": variant.name, "side": variant.side, "error": text}


def _clear() -> None:
    """Leave nothing of the variant before on the device: its modules hold one another, and do not go by themselves."""
    torch._dynamo.reset()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def print_figures(figures: Figures) -> None:
    """The figures for reading."""
    print(
        f"{figures['device']}: {figures['blocks']} blocks of width {figures['hidden']:,}, "
        f"{figures['parameters']:,} parameters; {figures['peak_source']}"
        + (f": {figures['mfu_of'] / 1e12:g} TFLOP/s" if figures["mfu_of"] else "")
    )
    for row in figures["contexts"]:
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        print(f"context {row['context']}: ratio {ratio}")
        for of in row["variants"]:
            if "error" in of:
                print(f"  {of['variant']:<44} {of['error']}")
                continue
            mfu = "" if of["mfu"] is None else f"  MFU {of['mfu']:.1%}"
            memory = "" if of["peak_bytes"] is None else f"  {of['peak_bytes'] / 1e9:.1f} GB"
            print(
                f"  {of['variant']:<44} {of['ms']:9.1f} ms  {of['tokens_per_s']:10,.0f} tokens/s{mfu}{memory}"
                f"  first loss {of['first_loss']:.4f}"
            )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=8, metavar="N", help="of the model's 60 (default 8: some 50 GB)")
    parser.add_argument("--contexts", type=int, nargs="+", default=[2048, 4096, 8192], metavar="N")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tokens", type=int, default=16_384, metavar="N", help="in a step (default 16384)")
    parser.add_argument("--steps", type=int, default=10, metavar="N", help="that count (default 10)")
    parser.add_argument("--warmup", type=int, default=3, metavar="N", help="that do not, after the first (default 3)")
    parser.add_argument("--recompute", choices=("none", "selective", "full"), default="none", help="peer: full or none")
    parser.add_argument("--eager", action="store_true", help="without the compiled variants, which take a minute each")
    parser.add_argument("--float8", action="store_true", help="ours in float8 as well (torchao)")
    parser.add_argument("--peak-tflops", type=float, metavar="X", help="of the GPU in bf16 (default: by its name)")
    for name, what in (("hidden", "width"), ("heads", "query heads"), ("kv-heads", "key/value heads")):
        parser.add_argument(f"--{name}", type=int, metavar="N", help=f"{what} (default: the 11B's)")
    parser.add_argument("--mlp", type=int, metavar="N", help="width of the MLP (default: the 11B's)")
    parser.add_argument("--vocab", type=int, metavar="N", help="size of the vocabulary (default: the 11B's)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON in the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
