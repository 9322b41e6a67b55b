"""`RUN/changes.yaml`: what a run changed in its mixture's log by itself, when it went back before a loss spike.

It has the form of the log in a mixture recipe. To reproduce the run elsewhere, add its entries to the recipe.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from mixtures.files import written_whole
from mixtures.log import Change
from mixtures.spec import Mixture
from mixtures.strict import load

_NAME = "changes.yaml"
_HEAD = "# What this run changed by itself; to reproduce it elsewhere, add these entries to the mixture's log.\n"


@dataclass(frozen=True, kw_only=True)
class _Log:
    changes: tuple[Change, ...]


def path_of(output: Path) -> Path:
    """The file below a run's folder."""
    return output / _NAME


def own_changes(output: Path) -> tuple[Change, ...]:
    """What the run changed up to now. Raises RecipeError where the file is damaged."""
    path = path_of(output)
    return load(_Log, path).changes if path.exists() else ()


def with_own(mixture: Mixture, output: Path) -> Mixture:
    """The mixture with the run's own changes in its log, each once."""
    added = [change for change in own_changes(output) if change not in mixture.changes]
    return replace(mixture, changes=tuple(sorted((*mixture.changes, *added), key=lambda change: change.at)))


def digests(mixture: Mixture) -> list[str]:
    """What tells the entries of a mixture's log from others, in order: 16 hex digits each."""
    return [_digest(change) for change in mixture.changes]


def with_entries(mixture: Mixture, known: Iterable[str]) -> Mixture:
    """The mixture with only those entries of its log whose digests are known: the log as it was before it grew."""
    left, kept = Counter(known), []
    for change in mixture.changes:
        digest = _digest(change)
        if left[digest]:
            left[digest] -= 1
            kept.append(change)
    return replace(mixture, changes=tuple(kept))


def without(mixture: Mixture, entries: Iterable[Change]) -> Mixture:
    """The mixture without these entries of its log, as far as they are in it."""
    left = list(mixture.changes)
    for entry in entries:
        if entry in left:
            left.remove(entry)
    return replace(mixture, changes=tuple(left))


def passed_over(output: Path, *, at: int, skip: int, reason: str) -> None:
    """Add that `skip` sequences are passed over from position `at` on."""
    entries = [_plain(change) for change in own_changes(output)]
    content = yaml.safe_dump({"changes": [*entries, {"at": at, "reason": reason, "skip": skip}]}, sort_keys=False)
    with written_whole(path_of(output)) as file:
        file.write((_HEAD + content).encode())


def _plain(change: Change) -> dict[str, object]:
    return {"at": change.at, "reason": change.reason, "skip": change.skip}


def _digest(change: Change) -> str:
    content = json.dumps(change.decisive(), sort_keys=True, default=str)
    return hashlib.blake2b(content.encode(), digest_size=8).hexdigest()
