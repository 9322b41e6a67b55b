"""What was taken out of a run on request, and when: `removals/` below its folder.

`0001.json` and so on are the removals in their order, each with its date and the list as it was given, in canonical
form; they outlive `--restart`, and what they list is never published again. `documents.txt` has the ids of all
documents that were taken out of the published files, sorted, one a line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline.errors import UsageError
from pipeline.store import Store
from stages.takedown import TakedownList, domain_entry, url_entry

FOLDER = "removals"
DOCUMENTS = f"{FOLDER}/documents.txt"
PENDING = f"{FOLDER}/pending.json"
STAGING = f"{FOLDER}/staging"
"""A removal under way: what it is, and what it is about to put into place."""

Kind = Literal["urls", "domains"]
_ENTRY: dict[Kind, Callable[[str], str]] = {"urls": url_entry, "domains": domain_entry}


@dataclass(frozen=True, kw_only=True)
class Order:
    """One list of what to take out. entries: in canonical form, sorted, each once."""

    kind: Kind
    entries: tuple[str, ...]

    @property
    def listed(self) -> TakedownList:
        """The list as pages are held against it."""
        return TakedownList(**{self.kind: frozenset(self.entries)})

    @property
    def digest(self) -> str:
        """Tells lists apart, as 16 hex digits."""
        return hashlib.blake2b(json.dumps([self.kind, self.entries]).encode(), digest_size=8).hexdigest()


def read_order(path: Path, kind: Kind) -> Order:
    """Read a list, one entry a line; blank lines and lines that begin with `#` do not count.

    Raises UsageError naming the line that is no entry, and where there is no file or nothing in it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 ({error.reason} at byte {error.start}); write it as UTF-8") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); give a file with an entry a line") from error
    entries = set()
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            entries.add(_ENTRY[kind](text))
        except ValueError as error:
            raise UsageError(f"{path}, line {number}: {error}") from error
    if not entries:
        raise UsageError(f"{path}: lists nothing; give a file with an entry a line")
    return Order(kind=kind, entries=tuple(sorted(entries)))


def record_names(store: Store) -> list[str]:
    """The files of a run's removals, in their order."""
    return [name for name in store.names(FOLDER, ".json") if name.removeprefix(f"{FOLDER}/")[:-5].isdecimal()]


def next_name(store: Store) -> str:
    """The file of the next removal."""
    return f"{FOLDER}/{len(record_names(store)) + 1:04d}.json"


def removed_from(store: Store) -> TakedownList:
    """All that was ever taken out of a run."""
    listed = TakedownList()
    for name in record_names(store):
        said = store.read_json(name)
        listed |= Order(kind=said["kind"], entries=tuple(said["entries"])).listed
    return listed


def pending_of(store: Store) -> dict[str, Any] | None:
    """The removal under way, if there is one."""
    return store.read_json(PENDING) if store.exists(PENDING) else None


def refuse_half_done(store: Store) -> None:
    """Raise UsageError where a removal was interrupted while it put files into place."""
    pending = pending_of(store)
    if pending and pending["committed"]:
        raise UsageError(
            f"{store.root}: a removal of {pending['date']} was interrupted; finish it first: run `falconmix remove "
            f"{store.root} --{pending['kind']} FILE` as before"
        )


def abandon(store: Store) -> None:
    """Forget a removal that has not put anything into place."""
    store.remove(PENDING)
    store.remove(STAGING)
