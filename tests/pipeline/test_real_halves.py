"""Real pages in two runs beside an index, cut by the time of fetching, against one run over all of them."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from warcio.archiveiterator import ArchiveIterator

from pipeline import recipe
from pipeline.corpus.files import Columns
from pipeline.corpus.run import DedupJob, dedup
from pipeline.curate import CurateJob, curate
from pipeline.engine import SerialEngine
from pipeline.progress import Quiet
from stages.minhash import Geometry
from tests.pipeline.real_run import COPIES, NEAR, pages_of, searched, similar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

RULES = ["earlier-neighbour", "components"]
COLUMNS = Columns(text="text", url="url", date="date", language="language")


def chosen(rule, **changes):
    default = recipe.load("refinedweb")
    return replace(default, minhash=replace(default.minhash, cluster_rule=rule, **changes))


LOOSE = {"geometry": Geometry(bands=50, rows=3), "threshold": 0.5}
"""Pages that are less alike hang together in longer chains."""


@pytest.fixture(scope="module")
def cut_at(real_pages):
    """A time that as many pages were fetched before as after."""
    times = sorted(page.fetch_time for page in real_pages)
    return times[len(times) // 2]


@pytest.fixture(scope="module")
def halves(real_warcs, cut_at, tmp_path_factory):
    """Two folders of WARC files, each record as it was, in the half of its date."""
    folders = [tmp_path_factory.mktemp(name) for name in ("earlier", "later")]
    date = cut_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    for path in real_warcs:
        parts = records_by_half(path, date)
        for folder, records in zip(folders, parts, strict=True):
            (folder / Path(path).name).write_bytes(b"".join(records))
    return [str(folder) for folder in folders]


def records_by_half(path, date):
    earlier, later = [], []
    raw = Path(path).read_bytes()
    with open(path, "rb") as stream:
        records = ArchiveIterator(stream)
        for record in records:
            record.content_stream().read()
            start = records.get_record_offset()
            member = raw[start : start + records.get_record_length()]
            if record.rec_type == "warcinfo" or record.rec_headers.get_header("WARC-Date") < date:
                earlier.append(member)
            if record.rec_type == "warcinfo" or record.rec_headers.get_header("WARC-Date") >= date:
                later.append(member)
    return earlier, later


@pytest.mark.parametrize("rule", RULES)
def test_two_halves_of_the_warcs_leave_what_one_run_leaves(real_warcs, halves, cut_at, tmp_path, rule):
    def run(inputs, output, index):
        job = CurateJob(inputs=tuple(inputs), output=tmp_path / output, recipe=chosen(rule), index=tmp_path / index)
        curate(job, SerialEngine, Quiet())
        return pages_of(job.output)

    whole = run(real_warcs, "whole", "fresh")
    one, two = run(halves[:1], "1", "index"), run(halves[1:], "2", "index")
    assert sorted(page.id for page in one + two) == sorted(page.id for page in whole)
    assert max(page.fetch_time for page in one) < cut_at <= min(page.fetch_time for page in two)
    compare(rule, whole, one, two, bridged_in(tmp_path / "2"))


@pytest.mark.parametrize("changes", [{}, LOOSE], ids=["", "loose"])
@pytest.mark.parametrize("rule", RULES)
def test_two_files_of_the_texts_leave_what_one_run_leaves(real_pages, cut_at, tmp_path, rule, changes):
    """`falconmix dedup` beside an index; a page is known by its id in the column `name`."""
    parts = [[p for p in real_pages if p.fetch_time < cut_at], [p for p in real_pages if p.fetch_time >= cut_at]]
    for name, pages in zip("ab", parts, strict=True):
        columns = {name: [getattr(page, name) for page in pages] for name in ("text", "url", "language")}
        columns |= {"name": [page.id for page in pages], "date": [page.fetch_time for page in pages]}
        pq.write_table(pa.table(columns), tmp_path / f"{name}.parquet")

    def run(names, output, index):
        files = tuple(str(tmp_path / f"{name}.parquet") for name in names)
        job = DedupJob(
            inputs=files,
            output=tmp_path / output,
            recipe=chosen(rule, **changes),
            columns=COLUMNS,
            index=tmp_path / index,
        )
        dedup(job, SerialEngine, Quiet())
        found = []
        for name, pages in zip("ab", parts, strict=True):
            if name in names:
                removed = pq.read_table(job.output / f"removed/{name}.parquet.parquet").to_pylist()
                stages = {row["row"]: row["stage"] for row in removed}
                found += [replace(page, stage=stages.get(row)) for row, page in enumerate(pages)]
        return found

    whole, one, two = run("ab", "whole", "fresh"), run("a", "1", "index"), run("b", "2", "index")
    bridged = {parts[1][int(page_id[16:], 16)].id for page_id in bridged_in(tmp_path / "2")}
    compare(rule, whole, one, two, bridged)


def bridged_in(output):
    return set(pq.read_table(output / "dedup/bridged.parquet")["id"].to_pylist())


def compare(rule, whole, one, two, bridged):
    """The documents left before exact substrings are those of one run, but for what is listed as bridged."""
    left_whole, left_one, left_two = (left(pages) for pages in (whole, one, two))
    removed = [page for page in two if page.stage in (*COPIES, NEAR)]
    print(
        f"{rule}: {len(left_whole)} left of {len(whole)}; in halves {len(left_one)} of {len(one)}, {len(left_two)} of"
    )
    print(f"{len(two)}, {len(removed)} removed in the second, {len(bridged)} bridged")
    assert len(removed) > 20
    assert left_whole <= left_one | left_two
    assert left_two - left_whole == bridged
    if rule == "earlier-neighbour":
        assert left_one - left_whole == bridged == set()
    joined_later = left_one - left_whole  # a page of the second half joined two clusters of the first
    near = similar(searched(one), 0.75)
    assert not any(page_id in pair for pair in near for page_id in joined_later if pair[1] == page_id)


def left(pages):
    """Ids of the pages that are neither copies nor near-duplicates."""
    return {page.id for page in pages if page.stage not in (*COPIES, NEAR)}
