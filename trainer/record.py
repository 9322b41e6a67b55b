"""`run.json`: what a run folder is a run of, and whether it is finished."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mixtures.files import written_whole
from mixtures.log import Change
from mixtures.spec import Mixture
from mixtures.strict import load
from trainer.config import TrainConfig
from trainer.errors import CheckpointError, writing
from trainer.weights import identity_of

_FORMAT = 2
HOW_IT_IS_RUN = ("checkpoint", "layout", "micro_batch", "watch")
"""What may change while a run goes on: it decides speed, memory and safety, not what is learnt."""
_FIELDS = {"finished", "fingerprint", "identity", "tokens", "changes", *HOW_IT_IS_RUN}
"""What is read again."""


@dataclass(frozen=True, kw_only=True)
class Identity:
    """All that decides a run's weights; how often they are saved is not part of it."""

    recipe: dict[str, Any]
    mixture: dict[str, Any]
    tokenizer: str
    initial: str | None = None
    """What the run began with: name, model and place in its training of other weights; None: random ones."""

    @classmethod
    def of(cls, config: TrainConfig, mixture: Mixture, tokenizer_digest: str, initial: Path | None = None) -> Identity:
        """The identity of training `config` on `mixture`, tokenised by the tokenizer of that digest.

        The mixture's log is not part of it, since it grows while a run goes on: each checkpoint says what of it held.
        """
        recipe = resolved(config)
        for name in HOW_IT_IS_RUN:  # what `watch` passes over is in the log
            del recipe[name]
        return cls(
            recipe=recipe,
            mixture=resolved(replace(mixture, changes=())),
            tokenizer=tokenizer_digest,
            initial=identity_of(initial) if initial else None,
        )

    @property
    def fingerprint(self) -> str:
        """32 hex digits, the same for equal content."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(canonical.encode(), digest_size=16).hexdigest()

    def differences(self, other: dict[str, Any]) -> list[str]:
        """Dotted names of the values in which this and a recorded identity differ."""
        return _differences(asdict(self), other)


def resolved(settings: TrainConfig | Mixture) -> dict[str, Any]:
    """Settings as JSON knows them: lists where there were tuples, text where there were fractions."""
    content: dict[str, Any] = json.loads(json.dumps(asdict(settings), default=str))
    return content


def read(folder: Path) -> dict[str, Any] | None:
    """The record of a run folder, None where there is none. Raises CheckpointError where it is damaged or foreign."""
    path = folder / "run.json"
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read ({error}); restore it, or begin again with --restart") from error
    if not isinstance(record, dict) or record.get("format") != _FORMAT or not record.keys() >= _FIELDS:
        raise CheckpointError(f"{path}: not a record of this version's runs; restore it, or begin again with --restart")
    return record


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where a run's sequences come from, as far as its identity does not say it."""

    tokens: str
    """Address of the token root."""
    changes: tuple[Change, ...]
    """The log of the mixture."""


def mixture_of(folder: Path, written: dict[str, Any]) -> Mixture:
    """The mixture of a run's record, with its log."""
    content = written["identity"]["mixture"] | {"changes": written["changes"]}
    return load(Mixture, content, name=str(folder / "run.json"))


def write(folder: Path, config: TrainConfig, identity: Identity, sources: Sources, *, finished: bool) -> None:
    """Write or replace the record of a run folder, whole or not at all. Raises WriteError."""
    settings = resolved(config)
    record = {
        "format": _FORMAT,
        "finished": finished,
        "fingerprint": identity.fingerprint,
        "identity": asdict(identity),
        **{name: settings[name] for name in HOW_IT_IS_RUN},
        "tokens": sources.tokens,
        "changes": json.loads(json.dumps([asdict(change) for change in sources.changes], default=str)),
        "versions": {name: version(name) for name in ("torch", "numpy")} | {"python": platform.python_version()},
    }
    path = folder / "run.json"
    with writing(path), written_whole(path) as file:
        file.write(json.dumps(record, indent=1).encode())


def _differences(ours: Any, theirs: Any, where: str = "") -> list[str]:
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        parts = [(f"{where}[{i}]", *pair) for i, pair in enumerate(zip(ours, theirs, strict=True))]
    elif isinstance(ours, dict) and isinstance(theirs, dict):
        names = sorted(ours.keys() | theirs.keys())
        parts = [(f"{where}.{name}" if where else name, ours.get(name), theirs.get(name)) for name in names]
    else:
        return [] if ours == theirs else [where]
    return [difference for name, our, their in parts for difference in _differences(our, their, name)]
