"""WET files: conversion records of plain text go the whole way to published documents."""

import hashlib
import re
from base64 import b32encode

import pyarrow.parquet as pq
import pytest

from pipeline import recipe
from pipeline.curate import CurateJob
from pipeline.store import Store
from pipeline.why import why
from stages.extract import tidy
from stages.language import ELEVEN
from tests.pipeline.test_curate import run
from tests.pipeline.warc_files import member

PATH = "crawl-data/CC-MAIN-2023-40/segments/1695233506420.84/wet/CC-MAIN-20230922134342-00000.warc.wet.gz"
FURNITURE = ["Home", "Sign in", "3 likes", "COOKIES", "12345"]


def wet_record(url, text, *, kind="conversion", content_type="text/plain"):
    """A record as Common Crawl's WET files have it, in a gzip member of its own."""
    block = text.encode()
    digest = b32encode(hashlib.sha1(block).digest()).decode()
    header = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2023-09-22T13:43:42Z\r\n"
        f"WARC-Record-ID: <urn:uuid:{hashlib.md5(url.encode()).hexdigest()}>\r\n"
        f"WARC-Refers-To: <urn:uuid:{hashlib.md5(block).hexdigest()}>\r\nWARC-Block-Digest: sha1:{digest}\r\n"
        f"WARC-Identified-Content-Language: eng\r\nContent-Type: {content_type}\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    return member(header.encode() + block + b"\r\n\r\n")


def texts_of(repository, language):
    """Texts of the sample, one block a line, as a browser would show them."""
    path = repository / "examples" / "pages" / f"{language}.md"
    sections = re.split(r"(?m)^# ", path.read_text(encoding="utf-8"))[1:]
    return ["\n".join(part.strip() for part in section.split("\n\n") if part.strip()) for section in sections]


@pytest.fixture(scope="module")
def written(repository):
    """Plain pages by URL, three in each language."""
    return {
        f"https://{language}.example/{number}": text
        for language in ELEVEN
        for number, text in enumerate(texts_of(repository, language)[:3])
    }


@pytest.fixture(scope="module")
def output(written, repository, recipe_file, tmp_path_factory):
    folder = tmp_path_factory.mktemp("wet")
    info = "Software-Info: ia-web-commons.1.1.9\r\nisPartOf: CC-MAIN-2023-40\r\nformat: WARC File Format 1.0\r\n"
    chosen = texts_of(repository, "en")[4].split("\n")
    others = {
        "https://furniture.example/": "\n".join([*FURNITURE[:3], *chosen, *FURNITURE[3:]]),
        "https://unwanted.example/": texts_of(repository, "unwanted/ru")[0],
        "https://short.example/": "Page not found",
        "https://empty.example/": "",
        "https://copy.example/": written["https://de.example/0"],
        "https://markup.example/": texts_of(repository, "en")[5]
        + "\nTags such as <p> and </div> or &amp; stay as they are.",
    }
    records = [wet_record("", info, kind="warcinfo", content_type="application/warc-fields")]
    records += [wet_record(url, text) for url, text in (written | others).items()]
    path = folder / PATH
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(records))
    job = CurateJob(inputs=(str(folder),), output=folder / "out", recipe=recipe.load(str(recipe_file)))
    summary = run(job)
    assert summary["totals"]["captures"] == len(records) - 1
    assert summary["totals"]["damaged_ranges"] == 0
    return job.output


@pytest.fixture(scope="module")
def published(output):
    store = Store(output)
    names = [*store.names("RefinedWeb-English"), *store.names("RefinedWeb-Europe")]
    rows = [row for name in names for row in pq.read_table(store.path(name), partitioning=None).to_pylist()]
    return {row["url"]: row for row in rows}


def test_every_page_is_published_with_its_text_and_language(written, published):
    assert len(written) == 33
    for url, text in written.items():
        row = published[url] if url in published else published["https://copy.example/"]
        assert row["text"] == tidy(text), url
        assert row["language"] == url.split("/")[2].split(".")[0]
        assert (row["crawl"], row["warc_path"]) == ("CC-MAIN-2023-40", PATH)


def test_furniture_lines_are_cut_and_the_text_stays(repository, published):
    assert published["https://furniture.example/"]["text"] == tidy(texts_of(repository, "en")[4])


def test_text_is_not_read_as_markup(published):
    assert published["https://markup.example/"]["text"].endswith(
        "Tags such as <p> and </div> or &amp; stay as they are."
    )


@pytest.mark.parametrize(
    ("url", "stage"),
    [
        ("https://unwanted.example/", "language_filter"),
        ("https://short.example/", "repetition"),
        ("https://empty.example/", "capture"),
    ],
)
def test_what_is_no_wanted_text_is_rejected(output, url, stage):
    (entry,) = why(output, url)
    assert entry["outcome"] == "rejected"
    assert entry["stage"] == stage


def test_a_copy_under_another_url_is_a_duplicate(output):
    outcomes = sorted(why(output, url)[0]["outcome"] for url in ("https://copy.example/", "https://de.example/0"))
    assert outcomes == ["duplicate", "published"]
