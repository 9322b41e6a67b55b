"""The figures of a record by the names under which TensorBoard and W&B show them."""

from __future__ import annotations

from typing import Any, Final

_TRAINING: Final = ("loss", "z_loss", "lr", "grad_norm", "sequences")
_SPEED: Final = (
    "tokens_per_second",
    "tokens_per_second_per_process",
    "mfu",
    "memory_bytes",
    "data_wait_s",
    "sync_wait_s",
    "eta_run_s",
)
FIGURES: Final = ("step", "held_out", "stragglers")
"""Kinds of records that have figures; the others say that something happened."""
ALARMING: Final = ("rewind", "spike")
"""Kinds of records that somebody should look at."""


def scalars(record: dict[str, Any]) -> dict[str, float]:
    """Figures by name: `training/loss`, `speed/mfu`, `held_out/STAGE/components/NAME`, `stragglers/data_wait/rank`."""
    if record["kind"] == "step":
        named = {f"training/{name}": record[name] for name in _TRAINING}
        return named | {f"speed/{name}": record[name] for name in _SPEED if name in record}
    if record["kind"] == "held_out":
        # By stage, since the windows of each are others.
        stage = f"held_out/{record['stage']}"
        parts = {f"{kind}/{name}": loss for kind in ("components", "languages") for name, loss in record[kind].items()}
        return {f"{stage}/{name}": loss for name, loss in {"loss": record["loss"], **parts}.items()}
    if record["kind"] == "stragglers":
        return {f"stragglers/{what}/{name}": x for what, of in record["slowest"].items() for name, x in of.items()}
    return {}


def event(record: dict[str, Any]) -> str | None:
    """What happened, in words, where a record has no figures: a rewind, a spike, a new rotary base."""
    if record["kind"] in FIGURES:
        return None
    said = (f"{name} {value}" for name, value in record.items() if name not in ("kind", "step"))
    return f"{record['kind']}: {', '.join(said)}"
