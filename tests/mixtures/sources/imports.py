"""Runs an import in this process and reads what it wrote."""

import json

from pyarrow import parquet

from falconmix.import_run import run_import
from mixtures.sources.inputs import Source
from mixtures.sources.job import plan_import
from mixtures.sources.kind import open_kind, read_options
from mixtures.sources.streams import Piece
from pipeline.engine import SerialEngine
from pipeline.progress import Quiet


def options_of(kind, *settings):
    return read_options(open_kind(kind), None, settings)


def piece_of(path, start=0, end=None):
    return Piece(
        source=Source(path=str(path), name=path.name, size=path.stat().st_size, digest=""), start=start, end=end
    )


def imported(kind, inputs, output, *settings):
    """The report and the documents, by their columns."""
    job = plan_import(kind, [inputs] if not isinstance(inputs, list) else inputs, output, settings=settings)
    report, _ = run_import(job, SerialEngine, Quiet())
    return report, documents(output)


def documents(output):
    files = sorted(output.glob("part-*.parquet"))
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
