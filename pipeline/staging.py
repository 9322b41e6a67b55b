"""A change of many files of a run that readers see whole: staged beside them, then moved into place.

Before the commit nothing has changed; after it, moving may be broken off at any file and be taken up again, as a
rename happens once and what was moved is no longer staged.
"""

from __future__ import annotations

from pipeline.store import Store, fsync


def move_into_place(staged: Store, store: Store, last: str) -> None:
    """Move every staged file to its name in `store`, `last` after all others."""
    for name in sorted(staged.names(""), key=lambda name: (name == last, name)):
        target = store.path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        staged.path(name).replace(target)
        fsync(target.parent)
