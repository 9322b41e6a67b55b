"""The log of a mixture: what was changed while training ran, each entry with the position from which it holds.

    changes:
      - at: 1_000_000                                     # first sequence for which the entry holds
        reason: a source of spam among the pages
        mask: {file: out/removals/documents.txt}          # these documents count for nothing in the loss
      - at: 1_200_000
        reason: loss spike between steps 610 and 618
        skip: 16_384                                      # so many sequences are passed over
      - at: 2_000_000
        reason: more code
        components: [{name: code-2, kind: code, tokens: [code-2], max_epochs: 1}]
        weights: {RefinedWeb-English: 60, RefinedWeb-Europe: 16, technical: 12, code: 4, code-2: 4, conversational: 4}
        out_of: 100                                       # to the end of the stage

What comes before an entry's position stays as it was, so a run is reproducible from its recipe alone. Positions count
what is trained: a range that is passed over costs no position, and the stage keeps its length.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from mixtures.components import Component, check_sum
from mixtures.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class MaskedDocuments:
    """Documents by their ids: given in place, or in a file with one a line."""

    documents: tuple[str, ...] = ()
    file: Path | None = None
    digest: str = ""
    """BLAKE2b-128 of the file's content, as hex digits; put in when the recipe is read."""

    def __post_init__(self) -> None:
        if bool(self.documents) == (self.file is not None):
            raise ValueError("give documents, or a file with their ids, and not both")

    @classmethod
    def of_file(cls, path: Path) -> MaskedDocuments:
        """The documents that a file lists, with its digest. Raises RecipeError."""
        return cls(file=path, digest=hashlib.blake2b(_read(path), digest_size=16).hexdigest())

    def ids(self) -> frozenset[str]:
        """All ids. Raises RecipeError where the file is gone, or changed since the recipe was read."""
        if self.file is None:
            return frozenset(self.documents)
        content = _read(self.file)
        if hashlib.blake2b(content, digest_size=16).hexdigest() != self.digest:
            raise RecipeError(f"{self.file}: changed while it was in use; add a new entry to the log for a new list")
        # By lines, not by words: an id may hold spaces. Windows' editors put a mark in front and \r behind.
        lines = (line.strip() for line in content.decode("utf-8-sig", "replace").split("\n"))
        return frozenset(line for line in lines if line)


@dataclass(frozen=True, kw_only=True)
class Change:
    """One entry of the log."""

    at: int
    """Position of the first sequence for which it holds."""
    reason: str
    weights: dict[str, Fraction] = field(default_factory=dict)
    """New shares to the end of the stage, out of `out_of`; the old ones where there are none."""
    out_of: Fraction = Fraction(1)
    components: tuple[Component, ...] = ()
    """Components that can be drawn from now on."""
    skip: int = 0
    """Sequences that would have come next and are passed over."""
    mask: MaskedDocuments | None = None
    """Documents that count for nothing in the loss from now on; they keep their place."""

    def __post_init__(self) -> None:
        if self.weights:
            check_sum(self.weights, self.out_of, "weights")
        if self.skip < 0:
            raise ValueError(f"skip: {self.skip} must not be negative")
        if not (self.weights or self.skip or self.mask):
            raise ValueError(f"the change at {self.at} changes nothing; give weights, skip or mask")

    def decisive(self) -> dict[str, Any]:
        """What tells it from other entries: of a file, what it lists counts, not where it lies."""
        content = asdict(self)
        if self.mask is not None and self.mask.digest:
            del content["mask"]["file"]
        return content


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise RecipeError(
            f"{path}: cannot be read ({error.strerror}); give a file with one document id a line"
        ) from error
