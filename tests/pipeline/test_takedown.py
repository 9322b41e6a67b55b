"""Takedown on a finished run of the sample: what is gone, what stands, and that it ends the same however it went."""

import json
import re
import shutil
from contextlib import ExitStack, suppress
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import recipe, takedown
from pipeline.curate import CurateJob, curate
from pipeline.engine import SerialEngine
from pipeline.errors import UsageError, WorkError
from pipeline.index import read_index
from pipeline.index_removal import take_from_index
from pipeline.progress import Quiet
from pipeline.removals import DOCUMENTS, PENDING, STAGING, read_order
from pipeline.run import clean
from pipeline.shards import PUBLISHED
from pipeline.store import Store
from pipeline.summary import check_pages, read_summary
from pipeline.takedown import TakedownJob, take_down
from pipeline.why import why
from stages.urls import domain_of
from tests.pipeline.corpus import MEMORY

FIRST = "sample-00000.warc.gz"
TWICE = "https://dalgangens-nytt.example/sa-lagar-du-en-trasig-stol"  # published, and rejected by url_dedup
REJECTED_PAGE = "https://hashtags.example/en/my-pictures"
EARLY = "https://bare-tiny.example/"  # dropped before extraction
COPIED = "https://tichy-zapisnik.example/netopyri-na-pude-skoly"  # published; its mirror is a rejected copy
COPY = "https://mirror.tichy-zapisnik.example/netopyri-na-pude-skoly"
LISTED = (TWICE, REJECTED_PAGE, EARLY)
DATE = "2026-01-02T03:04:05+00:00"


class Broken(Exception):
    """A removal that ends here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Many small files are written: in memory, where there is such a place."""
    with ExitStack() as stack:
        made = tmp_path_factory.mktemp("takedown")
        if MEMORY.exists():
            made = MEMORY / f"{made.parent.name}-{made.name}-takedown"
            made.mkdir()
            stack.callback(shutil.rmtree, made, ignore_errors=True)
        yield made


@pytest.fixture(scope="module")
def given(recipe_file):
    return recipe.load(str(recipe_file))


@pytest.fixture(scope="module")
def indexed(sample, given, folder):
    """A run over the first file, with an index; for copying."""
    job = CurateJob(
        inputs=(str(sample / FIRST),), output=folder / "first", recipe=given, index=folder / "index", strict=True
    )
    curate(job, SerialEngine, Quiet())
    return job


@pytest.fixture
def job(indexed, folder, tmp_path):
    """A run of one's own, with its index."""
    place = folder / tmp_path.name
    shutil.copytree(indexed.output, place / "out")
    shutil.copytree(indexed.index, place / "index")
    return replace(indexed, output=place / "out", index=place / "index")


def order(tmp_path, kind, *entries):
    (tmp_path / "list.txt").write_text("# what was asked\n\n" + "\n".join(entries), encoding="utf-8")
    return read_order(tmp_path / "list.txt", kind)


def remove(job, listed, date=DATE):
    return take_down(TakedownJob(output=job.output, order=listed, date=date, index=job.index), SerialEngine, Quiet())


def rows_of(output):
    """Every row that is published or rejected, with its file."""
    store = Store(output)
    for folder in PUBLISHED:
        for name in store.names(folder, ".parquet"):
            for row in pq.read_table(store.path(name), partitioning=None).to_pylist():
                yield row | {"file": name}


def texts_of(output, url):
    return [row["text"] for row in rows_of(output) if row["url"] == url and row["text"]]


def files_that_hold(folder, text):
    """Files with a passage of a text: parquet by its strings, others as they are."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".parquet":
            columns = pq.read_table(path, partitioning=None).columns
            strings = (column.to_pylist() for column in columns if pa.types.is_string(column.type))
            if any(value and text in value for column in strings for value in column):
                found.append(path.relative_to(folder).as_posix())
        elif path.is_file() and text.encode() in path.read_bytes():
            found.append(path.relative_to(folder).as_posix())
    return found


def digests(output):
    store = Store(output)
    return {name: store.digest(name) for name in store.names("") if not name.startswith("work/block")}


def test_listed_addresses_leave_no_text_and_the_figures_agree(job, tmp_path):
    before = read_summary(Store(job.output))
    passages = [text[20:60] for url in LISTED[:2] for text in texts_of(job.output, url)]
    published = {row["id"] for row in rows_of(job.output) if row["url"] == TWICE and "RefinedWeb" in row["file"]}
    assert len(published) == 1 and len(passages) == 3
    assert any(files_that_hold(job.output, passage) for passage in passages)
    listed = order(
        tmp_path, "urls", f"{TWICE.replace('https', 'HTTPS')}#x", REJECTED_PAGE, EARLY, "https://gone.example/"
    )
    outcome = remove(job, listed)
    assert (outcome["pages"], outcome["documents"], outcome["listed"]) == (4, 1, 4)
    assert outcome["not_found"] == ["https://gone.example/"] and outcome["other_spellings"] == {}
    assert [name for passage in passages for name in files_that_hold(job.output, passage)] == []
    summary = read_summary(Store(job.output))
    check_pages(summary)
    assert summary["totals"]["published"] == before["totals"]["published"] - 1
    assert summary["totals"]["captures"] == before["totals"]["captures"]
    assert summary["funnel"][0] == {
        "stage": "takedown",
        "in": before["totals"]["captures"],
        "out": before["totals"]["captures"] - 4,
        "rules": {"listed_url": 4},
    }
    assert summary["funnel"][-1]["out"] == summary["totals"]["published"]
    assert {name: summary[name] for name in ("corrections", "near_duplicates", "passages", "cpu_seconds")} == {
        name: before[name] for name in ("corrections", "near_duplicates", "passages", "cpu_seconds")
    }
    rows = list(rows_of(job.output))
    assert len(rows) == summary["totals"]["captures"]
    assert sum(row["file"].startswith("RefinedWeb") for row in rows) == summary["totals"]["published"]
    for url, n_captures in ((TWICE, 2), (REJECTED_PAGE, 1), (EARLY, 1)):
        entries = why(job.output, url)
        assert [(e["outcome"], e["stage"], e["rule"], e["detail"], e["text"]) for e in entries] == [
            ("rejected", "takedown", "listed_url", url, "")
        ] * n_captures
    assert Store(job.output).path(DOCUMENTS).read_text().split() == sorted(published)
    record = json.loads((job.output / "removals" / "0001.json").read_text())
    assert (record["date"], record["entries"], record["pages"]) == (DATE, list(listed.entries), 4)
    assert not (job.output / PENDING).exists() and not (job.output / STAGING).exists()


def test_all_other_rows_and_files_are_as_they_were(job, indexed, tmp_path):
    remove(job, order(tmp_path, "urls", *LISTED))
    left = [row for row in rows_of(job.output) if row["stage" if "stage" in row else "file"] != "takedown"]
    assert left == [row for row in rows_of(indexed.output) if row["url"] not in LISTED]
    one, other = digests(indexed.output), digests(job.output)
    touched = {name for name in one if one[name] != other[name]}
    assert {name for name in touched if name.startswith(PUBLISHED)} == {
        "RefinedWeb-Europe/lang=sv/part-00000.parquet",
        "rejected/stage=quality/part-00000.parquet",
        "rejected/stage=url_dedup/part-00000.parquet",
        "rejected/stage=visible/part-00000.parquet",
    }
    for name in ("RefinedWeb-Europe", "rejected", "work/extracted", "work/dropped", "work/keys", "work/segment"):
        path = next(path for path in sorted(touched) if path.startswith(name))
        now, before = (pq.read_schema(run.output / path) for run in (job, indexed))
        assert now.equals(before, check_metadata=True)


def test_a_domain_takes_its_subdomains_and_nothing_that_ends_alike(job, indexed, tmp_path):
    listed = order(tmp_path, "domains", "WWW.Tichy-Zapisnik.example", "notes.example", "notebook.example")
    urls = {row["url"] for row in rows_of(indexed.output) if domain_of(row["url"]).endswith("tichy-zapisnik.example")}
    assert {COPIED, COPY} <= urls
    outcome = remove(job, listed)
    assert outcome["not_found"] == ["notebook.example", "notes.example"]  # slow-notebook.example stands
    taken = [row for row in rows_of(job.output) if row.get("stage") == "takedown"]
    assert {row["url"] for row in taken} == urls
    assert {(row["rule"], row["detail"]) for row in taken} == {("listed_domain", "tichy-zapisnik.example")}
    assert texts_of(job.output, "https://slow-notebook.example/how-a-dry-stone-wall-stays-up")


def test_copies_of_a_page_stay_removed(job, tmp_path):
    remove(job, order(tmp_path, "urls", COPIED))
    (entry,) = why(job.output, COPY)
    assert (entry["outcome"], entry["stage"]) == ("duplicate", "exact_dedup")


def test_where_nothing_is_found_nothing_changes(job, indexed, tmp_path):
    outcome = remove(job, order(tmp_path, "urls", TWICE.replace("https", "http"), "https://gone.example/x/"))
    assert (outcome["pages"], outcome["index_documents"]) == (0, 0)
    assert outcome["other_spellings"] == {TWICE.replace("https", "http"): [TWICE]}
    assert digests(job.output) == digests(indexed.output)
    assert digests(job.index) == digests(indexed.index)


def test_a_second_removal_adds_to_the_first_and_the_same_one_finds_it_done(job, indexed, tmp_path):
    remove(job, order(tmp_path, "urls", TWICE))
    remove(job, order(tmp_path, "urls", REJECTED_PAGE, COPIED), "2026-02-01T00:00:00+00:00")
    again = remove(job, order(tmp_path, "urls", TWICE, COPIED))
    assert (again["pages"], again["removed_before"], again["not_found"]) == (0, sorted([TWICE, COPIED]), [])
    assert [path.name for path in sorted((job.output / "removals").iterdir())] == [
        "0001.json",
        "0002.json",
        "documents.txt",
    ]
    ids = [row["id"] for row in rows_of(indexed.output) if row["url"] in (TWICE, COPIED) and "lang=" in row["file"]]
    assert (job.output / DOCUMENTS).read_text().split() == sorted(ids)
    assert sum(row.get("stage") == "takedown" for row in rows_of(job.output)) == 4
    check_pages(read_summary(Store(job.output)))


def test_the_pages_leave_the_index(job, tmp_path):
    (before,) = read_index(job.index).segments
    listed = order(tmp_path, "urls", *LISTED, COPY)
    outcome = remove(job, listed)
    (after,) = read_index(job.index).segments
    assert outcome["index_documents"] == before.documents - after.documents == 3  # both of one address, and the copy
    assert take_from_index(job.index, order(tmp_path, "urls", TWICE))["not_found"] == [TWICE]
    found = take_from_index(job.index, order(tmp_path, "urls", COPIED))
    assert (found["index_documents"], found["not_found"]) == (1, [])
    only_there = remove(job, order(tmp_path, "urls", "https://polderbode.example/waarom-stilte-geen-luxe-mag-zijn"))
    assert (only_there["documents"], only_there["index_documents"]) == (1, 1)


def test_a_finished_run_stays_finished_and_does_not_bring_pages_back(job, tmp_path):
    remove(job, order(tmp_path, "urls", *LISTED))
    done = digests(job.output)
    said = []
    progress = Quiet()
    progress.say = said.append
    summary = curate(job, SerialEngine, progress)
    assert said == [f"{job.output}: this run is finished; nothing to do"]
    assert summary["funnel"][0]["rules"] == {"listed_url": 4}
    assert digests(job.output) == done


def published(output):
    """Digests of the published files."""
    return {name: digest for name, digest in digests(output).items() if name.startswith(PUBLISHED)}


def test_more_inputs_a_replay_and_a_restart_do_not_bring_pages_back(job, sample, given, tmp_path):
    listed = order(tmp_path, "urls", *LISTED, COPIED)
    remove(job, listed)
    remove(job, order(tmp_path, "domains", "slow-notebook.example"), "2026-02-01T00:00:00+00:00")
    replayed = CurateJob(inputs=(), output=job.output.with_name("replayed"), recipe=given, replay=job.output)
    extended = replace(job, inputs=tuple(str(path) for path in sorted(sample.glob("*.warc.gz"))[:2]))
    for run in (replayed, extended):
        summary = curate(run, SerialEngine, Quiet())
        check_pages(summary)
        assert summary["funnel"][0]["rules"] == read_summary(Store(run.output))["funnel"][0]["rules"]
        taken = [row for row in rows_of(run.output) if row.get("stage") == "takedown"]
        assert len(taken) == summary["funnel"][0]["in"] - summary["funnel"][0]["out"]
        is_listed = [row for row in rows_of(run.output) if row["url"] in listed.entries]
        is_listed += [row for row in rows_of(run.output) if domain_of(row["url"]).endswith("slow-notebook.example")]
        assert {(row.get("stage"), row["text"]) for row in is_listed} == {("takedown", "")}
        assert len(is_listed) == len(taken)
        (copy,) = why(run.output, COPY)
        assert copy["outcome"] == "published"  # decided anew, without the page that it is a copy of
    assert {row["warc_path"] for row in taken} == {FIRST, "sample-00001.warc.gz"}  # units of before, and those added
    assert take_from_index(job.index, listed)["index_documents"] == 0
    before = published(job.output)
    curate(replace(extended, restart=True), SerialEngine, Quiet())
    assert published(job.output) == before
    assert [path.name for path in sorted((job.output / "removals").iterdir())][:2] == ["0001.json", "0002.json"]


def test_pages_taken_out_are_cut_into_files_anew_with_each_removal(job, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.shards.REJECTS_PER_SHARD", 1)
    for month, (urls, n_files) in enumerate((((TWICE,), 2), ((TWICE, REJECTED_PAGE, EARLY, COPIED), 5)), 1):
        assert remove(job, order(tmp_path, "urls", *urls), f"2026-0{month}-01T00:00:00+00:00")["pages"] > 1
        names = Store(job.output).names("rejected/stage=takedown")
        assert len(names) == n_files
        ids = [pq.read_table(job.output / name, partitioning=None)["id"].to_pylist() for name in names]
        placed = [(page_id, number) for number, part in enumerate(ids) for page_id in part]
        assert placed == sorted(placed) and len(placed) == n_files
        assert [int(page_id, 16) * n_files >> 128 for page_id, _ in placed] == [number for _, number in placed]
    check_pages(read_summary(Store(job.output)))
    assert len(why(job.output, TWICE)) == 2


def test_after_clean_a_page_is_not_brought_back_either(job, sample, tmp_path):
    clean(job.output)
    remove(job, order(tmp_path, "urls", *LISTED))
    check_pages(read_summary(Store(job.output)))
    assert not [row for row in rows_of(job.output) if row["url"] in LISTED and row["text"]]


@pytest.mark.parametrize("table", ["top_clusters", "passages"])
def test_tables_with_samples_of_texts_lose_the_page(job, tmp_path, table):
    def samples():
        return pq.read_table(job.output / "dedup" / f"{table}.parquet").to_pylist()

    before = samples()
    sample = before[0]
    passage = max(re.findall(r"[ a-zA-Z,.]+", sample["text"]), key=len)  # written alike in JSON
    holding = files_that_hold(job.output, passage)
    assert {f"dedup/{table}.parquet", "report/stats.json", "manifest/dedup/all.json"} <= set(holding)
    remove(job, order(tmp_path, "urls", sample["url"]))
    left = files_that_hold(job.output, passage)  # its copies at other addresses have it still
    assert [name for name in left if name.startswith(("dedup/", "report/", "manifest/"))] == []
    assert samples() == [row for row in before if row["url"] != sample["url"]]
    assert 0 < len(samples()) < len(before)


def untimed(output):
    """Digests of all files but those that say how long something took."""
    return {name: digest for name, digest in digests(output).items() if not name.startswith("manifest/")}


def test_a_removal_broken_off_at_any_write_is_completed_by_the_same_command(indexed, folder, tmp_path, monkeypatch):
    place = folder / tmp_path.name
    broken = replace(indexed, output=place / "out", index=place / "index")
    listed = order(tmp_path, "urls", TWICE, REJECTED_PAGE)
    begin_anew(indexed, broken)
    remove(broken, listed)
    expected, index = untimed(broken.output), digests(broken.index)
    writing, n_writes, whole = Store.writing, 0, False
    while not whole:
        begin_anew(indexed, broken)
        left = iter(range(n_writes))

        def write(store, name, left=left):
            if next(left, None) is None:
                raise Broken
            return writing(store, name)

        with monkeypatch.context() as patch, suppress(Broken, WorkError):  # of a task that failed
            patch.setattr(Store, "writing", write)
            remove(broken, listed)
            whole = True
        if not whole:
            begun = (broken.output / PENDING).exists()
            remove(broken, listed, "2030-01-01T00:00:00+00:00" if begun else DATE)
        assert untimed(broken.output) == expected, n_writes
        assert digests(broken.index) == index
        n_writes += 1
    assert n_writes > 20


def begin_anew(indexed, job):
    """The run and its index as they were before the removal."""
    shutil.rmtree(job.output.parent, ignore_errors=True)
    shutil.copytree(indexed.output, job.output)
    shutil.copytree(indexed.index, job.index)


@pytest.mark.parametrize("n_moved", [0, 3, 9])
def test_a_removal_broken_off_while_files_are_moved_is_completed_first(
    job, indexed, sample, tmp_path, monkeypatch, n_moved
):
    listed = order(tmp_path, "urls", TWICE, REJECTED_PAGE)
    moves = [0]

    def fsync(path):
        moves[0] += 1
        if moves[0] > n_moved:
            raise Broken

    with monkeypatch.context() as patch:
        patch.setattr("pipeline.staging.fsync", fsync)
        with pytest.raises(Broken):
            remove(job, listed)
    for again in (
        job,
        replace(job, restart=True),
        CurateJob(inputs=(), output=job.output / "x", recipe=job.recipe, replay=job.output),
    ):
        with pytest.raises(UsageError, match="a removal of .* was interrupted; finish it first: run `falconmix remove"):
            curate(again, SerialEngine, Quiet())
    other = remove(job, order(tmp_path, "urls", EARLY), "2026-02-01T00:00:00+00:00")
    assert other["pages"] == 1
    assert sum(row.get("stage") == "takedown" for row in rows_of(job.output)) == 4
    check_pages(read_summary(Store(job.output)))
    assert take_from_index(job.index, listed)["index_documents"] == 0


def test_what_was_staged_for_files_as_they_were_is_dropped_by_a_run(job, sample, tmp_path, monkeypatch):
    listed = order(tmp_path, "urls", TWICE)
    with monkeypatch.context() as patch:
        patch.setattr(takedown, "write_report", lambda *_: (_ for _ in ()).throw(Broken()))
        with pytest.raises(Broken):
            remove(job, listed)
    assert texts_of(job.output, TWICE)
    curate(replace(job, restart=True), SerialEngine, Quiet())
    assert not (job.output / STAGING).exists()
    assert remove(job, listed)["pages"] == 2


def test_a_replay_that_was_broken_off_before_a_removal_decides_its_units_again(job, given, tmp_path, monkeypatch):
    replayed = CurateJob(inputs=(), output=job.output.with_name("replayed"), recipe=given, replay=job.output)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.curate.check_pages", lambda _: (_ for _ in ()).throw(Broken()))
        with pytest.raises(Broken):
            curate(replayed, SerialEngine, Quiet())
    passage = texts_of(replayed.output, TWICE)[0][20:60]
    remove(job, order(tmp_path, "urls", TWICE))
    curate(replayed, SerialEngine, Quiet())
    assert files_that_hold(replayed.output, passage) == []


def test_what_cannot_be_done_is_refused(job, tmp_path):
    listed = order(tmp_path, "urls", TWICE)
    with pytest.raises(UsageError, match="no finished run here"):
        take_down(TakedownJob(output=tmp_path, order=listed, date=DATE), SerialEngine, Quiet())
    with pytest.raises(UsageError, match="no index here"):
        take_down(TakedownJob(output=job.output, order=listed, date=DATE, index=tmp_path), SerialEngine, Quiet())


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("urls", b"# one\n\nhttps://a.example/\na.example/b\n", "line 4: 'a.example/b' is no address"),
        ("domains", b"a.example\n*.b.example\n", "line 2: '\\*.b.example' is no domain"),
        ("domains", b"https://a.example/\n", "line 1: .* is an address; list it with --urls"),
        ("urls", b"# nothing\n\n", "lists nothing"),
        ("urls", b"\xff", "not UTF-8"),
    ],
)
def test_a_list_is_refused_by_its_line(tmp_path, kind, content, said):
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        read_order(tmp_path / "list.txt", kind)


def test_a_list_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"none.txt: cannot be read \(No such file or directory\)"):
        read_order(tmp_path / "none.txt", "urls")
