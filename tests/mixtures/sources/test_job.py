"""An import as units: the same documents whatever the order and the sizes."""

import json
from dataclasses import replace

import pytest

from mixtures.errors import InputError
from mixtures.sources.job import (
    Sizes,
    import_group,
    import_unit,
    plan_groups,
    plan_import,
    scatter_unit,
)
from mixtures.sources.writing import ShardLimits
from tests.mixtures.sources.imports import documents, write_lines


def lines(count, start=0):
    return [{"text": f"text number {i}", "id": i} for i in range(start, start + count)]


def plan(kind, inputs, output, *settings, **sizes):
    job = plan_import(kind, inputs, output, settings=settings)
    return replace(job, sizes=Sizes(**sizes))


def test_large_inputs_are_cut_and_small_ones_go_together(tmp_path):
    write_lines(tmp_path / "in" / "big.jsonl", lines(100))
    for name in "abc":
        write_lines(tmp_path / "in" / f"{name}.jsonl", lines(1))
    (tmp_path / "in" / "d.jsonl.gz").write_bytes(b"\x1f" * 1500)
    job = plan("plain", [tmp_path / "in"], tmp_path / "out", part_bytes=1000)
    size = (tmp_path / "in" / "big.jsonl").stat().st_size
    units = [[(piece.source.name, piece.start, piece.end) for piece in unit] for unit in job.units]
    assert [[name for name, _, _ in unit] for unit in units if len(unit) > 1] == [["a.jsonl", "b.jsonl"]]
    cut = [piece for unit in units for piece in unit if piece[0] == "big.jsonl"]
    assert cut == [("big.jsonl", start, start + 1000) for start in range(0, size, 1000)]
    assert [piece for unit in units for piece in unit if piece[0] == "d.jsonl.gz"] == [("d.jsonl.gz", 0, None)]
    assert sorted(piece[0] for unit in units for piece in unit if piece[1] == 0) == [
        "a.jsonl", "b.jsonl", "big.jsonl", "c.jsonl", "d.jsonl.gz",
    ]  # fmt: skip


@pytest.mark.parametrize("part_bytes", [50, 777, 10**6])
def test_documents_do_not_depend_on_where_inputs_are_cut(part_bytes, tmp_path):
    write_lines(tmp_path / "in" / "a.jsonl", lines(60))
    write_lines(tmp_path / "in" / "b.jsonl", lines(60, 60))
    job = plan("plain", [tmp_path / "in"], tmp_path / "out", part_bytes=part_bytes)
    for number in reversed(range(len(job.units))):
        import_unit(number, job=job)
    assert [document["text"] for document in documents(tmp_path / "out")] == [f"text number {i}" for i in range(120)]


@pytest.mark.parametrize("sizes", [{"part_bytes": 200, "n_buckets": 7}, {"part_bytes": 10**6, "n_buckets": 1}])
@pytest.mark.parametrize(
    ("kind", "inputs"), [("conversations", "reddit"), ("stackexchange", "gardening.stackexchange.com")]
)
def test_grouped_documents_do_not_depend_on_partitions(kind, inputs, sizes, samples, tmp_path):
    def run(output, **sizes):
        job = plan(kind, [samples / inputs], output, **sizes)
        for number in reversed(range(len(job.units))):
            scatter_unit(number, job=job)
        ranges = plan_groups(job)
        for number in reversed(range(len(ranges))):
            import_group(number, job=job, ranges=ranges)
        return documents(output), len(ranges)

    usual, n_usual = run(tmp_path / "usual")
    found, n_ranges = run(tmp_path / "other", **sizes)
    assert found == usual
    assert len(usual) > 1
    assert n_usual == 1
    assert (n_ranges > 1) == (sizes["n_buckets"] > 1)


def test_units_report_what_they_wrote(tmp_path):
    write_lines(tmp_path / "in.jsonl", [*lines(3), {"text": 5}])
    job = plan("plain", [tmp_path / "in.jsonl"], tmp_path / "out", limits=ShardLimits(shard_bytes=10))
    names, report = import_unit(0, job=job)
    assert names == [f"part-00000-{i:03d}.parquet" for i in range(3)]
    assert (report["documents"], report["records"], report["damaged"]) == (3, 4, {"no text": 1})
    json.dumps(report)


def test_the_key_covers_options_inputs_and_sizes_but_not_places(tmp_path):
    path = write_lines(tmp_path / "one" / "in.jsonl", lines(3))
    moved = write_lines(tmp_path / "two" / "in.jsonl", lines(3))
    key = plan("plain", [path], tmp_path / "out").key
    assert plan("plain", [moved], tmp_path / "elsewhere").key == key
    changed = write_lines(tmp_path / "three" / "in.jsonl", lines(4))
    others = [
        plan("plain", [path], tmp_path / "out", "min_chars=9"),
        plan("plain", [changed], tmp_path / "out"),
        plan("plain", [path], tmp_path / "out", part_bytes=5),
        plan("encyclopedia", [path], tmp_path / "out"),
    ]
    assert len({key, *(other.key for other in others)}) == 5


def test_an_input_that_goes_away_meanwhile_is_named(tmp_path):
    path = write_lines(tmp_path / "in.jsonl", lines(3))
    job = plan("plain", [path], tmp_path / "out")
    path.unlink()
    with pytest.raises(InputError, match=r"in\.jsonl: cannot be opened"):
        import_unit(0, job=job)
    assert not (tmp_path / "out").exists()
