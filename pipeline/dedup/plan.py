"""What every task of deduplication is told: where the run lies, how it is cut, and by which rules it goes."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.dedup.exchange import Exchange
from pipeline.groups import Group, Past
from pipeline.recipe import Recipe
from pipeline.store import Store


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one run's documents are cut into groups, and rows of any kind into partitions.

    past: the parts of an index that the run is compared with; None where it has no index, and then edges are verified
    on exact shingle sets rather than by sketches.
    """

    store: Store
    recipe: Recipe
    groups: tuple[Group, ...]
    past: tuple[Past, ...] | None = None

    @property
    def group_numbers(self) -> range:
        """All groups."""
        return range(len(self.groups))

    @property
    def homes(self) -> range:
        """All groups, and after them the parts of the index."""
        return range(len(self.groups) + len(self.past or ()))

    @property
    def n_captures(self) -> int:
        """Captures in all."""
        return sum(source.n_captures for group in self.groups for source in group.sources)

    @property
    def n_pages(self) -> int:
        """Pages that the recipe keeps."""
        return sum(group.n_pages for group in self.groups)

    def partitions(self, n_rows: int) -> range:
        """The partitions of so many rows: their number depends on the rows alone."""
        return range(max(1, -(-n_rows // self.recipe.dedup.partition_rows)))

    def exchange(self, name: str) -> Exchange:
        """The exchange of that name."""
        return Exchange(self.store, name)
