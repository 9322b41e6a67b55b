"""The figures of a run as the report reads them: `report/stats.json`, checked on the way in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from pipeline.errors import WorkError

Count = Annotated[int, Field(ge=0)]
F = TypeVar("F", bound="Figures")


class StatsError(WorkError, ValueError):
    """`stats.json` is not what this version writes: damaged, edited, or another version's."""


class Figures(BaseModel):
    """Unknown keys are let through: a later version may add figures that this page does not draw."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True, validate_by_alias=True)


class InputFile(Figures):
    """One input: where its bytes went, and where its captures went."""

    warc_path: str
    size_bytes: Count = Field(alias="size")
    record_bytes: Count = Field(alias="records")
    padding_bytes: Count = Field(alias="padding")
    damaged_bytes: Count = Field(alias="damaged")
    counts: dict[str, Count] = {}
    captures: Count
    published: Count
    rejected: Count

    @property
    def bytes_add_up(self) -> bool:
        """Whether records, padding and damaged ranges are the whole stream."""
        return self.size_bytes == self.record_bytes + self.padding_bytes + self.damaged_bytes

    @property
    def captures_add_up(self) -> bool:
        """Whether every capture was published or rejected."""
        return self.captures == self.published + self.rejected

    @property
    def adds_up(self) -> bool:
        """Whether both sums hold."""
        return self.bytes_add_up and self.captures_add_up


class Totals(InputFile):
    """The same sums over all inputs; `poisoned` pages were given up at a limit, or with the process that read them."""

    warc_path: str = "all files"
    size_bytes: Count = Field(alias="bytes")
    record_bytes: Count
    padding_bytes: Count
    damaged_bytes: Count
    damaged_ranges: Count = 0
    other_records: dict[str, Count] = {}
    poisoned: Count = 0


class Step(Figures):
    """One step of the funnel: captures that reached it, captures that it passed on, and its rules' tolls."""

    stage: str
    entered: Count = Field(alias="in")
    left: Count = Field(alias="out")
    rules: dict[str, Count] = {}

    @property
    def removed(self) -> int:
        """Captures that this step dropped."""
        return self.entered - self.left

    @property
    def unexplained(self) -> int:
        """Captures dropped beyond what the rules own up to; anything but 0 is a fault in the run."""
        return self.removed - sum(self.rules.values())


class LanguageFigures(Figures):
    """What became of the pages of one language; `rules` are keyed `stage:rule`."""

    published: Count
    rejected: Count
    rules: dict[str, Count] = {}
    chars: Count = 0


class DomainFigures(Figures):
    """What became of the captures of one domain."""

    domain: str
    captures: Count
    published: Count
    rejected: Count


class Histogram(Figures):
    """Counts per bin [edge, next edge), one list per series (`kept`, `rejected`).

    With as many counts as edges the last bin is open: it takes all from the last edge upwards.
    """

    edges: list[Annotated[float, Field(allow_inf_nan=False)]]
    counts: dict[str, list[Count]]

    @model_validator(mode="after")
    def _one_count_per_bin(self) -> Histogram:
        lengths = {len(counts) for counts in self.counts.values()}
        if len(lengths) > 1 or not lengths <= {len(self.edges), max(len(self.edges) - 1, 0)}:
            raise ValueError(f"series of {sorted(lengths)} counts for {len(self.edges)} edges")
        return self

    @property
    def n_bins(self) -> int:
        """Bins that were counted."""
        return max(map(len, self.counts.values()), default=0)


class Histograms(Figures):
    """Distributions; `cluster_size` maps a number of pages to the number of clusters that have it."""

    text_chars: Histogram | None = None
    language_score: Histogram | None = None
    cluster_size: dict[int, Count] = {}


class Name(Figures):
    """A language or a domain, and documents that have it."""

    name: str = Field(validation_alias=AliasChoices("name", "language", "domain"))
    n_documents: Count


class Removal(Figures):
    """What deduplication took of one language or domain: of `pages`, so many by each step; bytes of passages."""

    name: str
    pages: Count
    removed: dict[str, Count]
    passage_bytes: Count


class _Sample(Figures):
    """Documents that have something in common, and what it looks like."""

    n_documents: Count
    languages: list[Name]
    n_domains: Count
    domains: list[Name]
    url: str | None
    text: str | None


class TopCluster(_Sample):
    """A cluster; without url and text where its representative is in an index."""

    representative_id: str


class TopPassage(_Sample):
    """A passage by the place where its first copy begins."""

    first_id: str
    n_cuts: Count
    length_bytes: Count = Field(alias="length")


class Deduplication(Figures):
    """What deduplication shows of itself. `steps`: those that the run has; `removal`: by `language` and by `domain`."""

    similarity: Histogram
    cluster_size: dict[int, Count]
    passage_bytes: Histogram
    steps: list[str]
    removal: dict[str, list[Removal]]
    top_clusters: list[TopCluster]
    top_passages: list[TopPassage]


class Dataset(Figures):
    """One published folder."""

    name: str
    documents: Count
    chars: Count
    shards: Count


class CpuSeconds(Figures):
    """User and system time of all processes, by the work they did."""

    by_stage: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = {}


class Stats(Figures):
    """All figures of one run."""

    format: Literal[1]
    recipe: str
    languages: list[str]
    inputs: list[InputFile]
    totals: Totals
    funnel: list[Step]
    by_language: dict[str, LanguageFigures] = {}
    by_domain: list[DomainFigures] = []
    histograms: Histograms = Histograms()
    deduplication: Deduplication | None = None
    datasets: list[Dataset] = []
    cpu_seconds: CpuSeconds | None = None

    @property
    def bytes_add_up(self) -> bool:
        """Whether the sum of bytes holds for every file and in total."""
        return self.totals.bytes_add_up and all(file.bytes_add_up for file in self.inputs)

    @property
    def captures_add_up(self) -> bool:
        """Whether the sum of captures holds for every file and in total."""
        return self.totals.captures_add_up and all(file.captures_add_up for file in self.inputs)


def read_as(declared: type[F], figures: Mapping[str, Any]) -> F:
    """Return the figures typed; raise `StatsError` naming the first field that is not as declared."""
    try:
        return declared.model_validate(figures)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        mend = "`falconmix report OUT` writes the file anew"
        raise StatsError(f"stats.json: {field}: {first['msg']}; {mend}") from error


def read_stats(figures: Mapping[str, Any]) -> Stats:
    """The figures of a run of `falconmix curate`."""
    return read_as(Stats, figures)
