"""The sample crawl: what the script writes, read back with warcio."""

import json
import os
import subprocess
import sys
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from importlib.resources import as_file, files
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import trafilatura
from warcio.archiveiterator import ArchiveIterator  # type: ignore[import-untyped]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"

KINDS = {
    "article": 74,
    "shared_passage": 9,
    "exact_copy": 11,
    "recapture": 6,
    "near_copy": 22,
    "far_copy": 4,
    "excerpt": 11,
    "spam": 4,
    "gibberish": 3,
    "repeated_lines": 3,
    "list_only": 3,
    "hashtags": 1,
    "shouting": 3,
    "tiny": 5,
    "bare_tiny": 1,
    "bare_foreign": 1,
    "no_content": 1,
    "furniture": 1,
    "opted_out": 1,
    "charset_wrong": 1,
    "charset_meta": 1,
    "charset_header": 1,
    "charset_undeclared": 1,
    "charset_utf16": 1,
    "gzip_body": 1,
    "chunked_body": 1,
    "unwanted_language": 4,
    "no_diacritics": 2,
    "listed_domain": 1,
    "pdf": 1,
    "image": 1,
    "robots": 2,
    "redirect": 2,
    "not_found": 2,
    "revisit": 1,
    "truncated": 1,
    "damaged": 1,
    "empty": 1,
    "nested": 1,
}


def make_sample(folder: Path, *, hash_seed: int) -> Path:
    """Run the script as a user would, and return the folder it wrote."""
    command = [sys.executable, str(EXAMPLES / "make_sample.py"), str(folder)]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": str(hash_seed)})
    return folder


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sample(tmp_path_factory.mktemp("crawl"), hash_seed=1)


@pytest.fixture(scope="module")
def captures(crawl: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((crawl / "captures.json").read_text(encoding="utf-8"))
    return rows


@pytest.fixture(scope="module")
def one_of(captures: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The first capture of each kind."""
    return {capture["kind"]: capture for capture in reversed(captures)}


def read(crawl: Path, capture: dict[str, Any]) -> tuple[Any, bytes]:
    """The record at the place that `captures.json` names, and its payload without transfer and content codings."""
    data = (crawl / capture["file"]).read_bytes()[capture["offset"] : capture["offset"] + capture["length"]]
    record = next(iter(ArchiveIterator(BytesIO(data), check_digests="raise")))
    return record, record.content_stream().read()


def original(name: str) -> tuple[str, list[str]]:
    """Title and paragraphs of a text, read from its file without the code under test."""
    lang, place = name.split("/")
    section = (EXAMPLES / "pages" / f"{lang}.md").read_text(encoding="utf-8").split("\n# ")[int(place)]
    title, *paragraphs = section.removeprefix("# ").strip().split("\n\n")
    return title, paragraphs


def test_two_runs_write_the_same_bytes(crawl: Path, tmp_path: Path) -> None:
    again = make_sample(tmp_path / "again", hash_seed=2)
    names = sorted(path.name for path in crawl.iterdir())
    assert names == ["captures.json", "sample-00000.warc.gz", "sample-00001.warc.gz", "sample-00002.warc.gz"]
    assert [(again / name).read_bytes() for name in names] == [(crawl / name).read_bytes() for name in names]


def test_captures_of_each_kind(captures: list[dict[str, Any]]) -> None:
    assert Counter(capture["kind"] for capture in captures) == KINDS


def test_every_capture_is_where_the_manifest_says(crawl: Path, captures: list[dict[str, Any]]) -> None:
    record_types: Counter[str] = Counter()
    for capture in captures:
        if capture["kind"] != "damaged":
            record, _ = read(crawl, capture)
            assert record.rec_headers.get_header("WARC-Target-URI") == capture["url"]
            record_types[record.rec_type] += 1
    assert record_types == {"response": sum(KINDS.values()) - 2, "revisit": 1}
    assert record_types["response"] >= 150


def intact_records(path: Path, captures: list[dict[str, Any]]) -> Iterator[Any]:
    """All records of a file but the damaged one, every digest checked."""
    data = path.read_bytes()
    start = 0
    for capture in captures:
        if capture["file"] == path.name and capture["kind"] == "damaged":
            yield from ArchiveIterator(BytesIO(data[: capture["offset"]]), check_digests="raise")
            start = capture["offset"] + capture["length"]
    yield from ArchiveIterator(BytesIO(data[start:]), check_digests="raise")


def test_files_read_back_whole_around_the_damage(crawl: Path, captures: list[dict[str, Any]]) -> None:
    """A warcinfo, and request, answer and metadata for each capture."""
    for path in sorted(crawl.glob("*.warc.gz")):
        here = [capture["kind"] for capture in captures if capture["file"] == path.name]
        types: Counter[str] = Counter()
        for record in intact_records(path, captures):
            record.content_stream().read()  # the digest is checked at the end of the payload
            types[record.rec_type] += 1
        assert types["warcinfo"] == 1
        assert types["request"] == types["metadata"] == len(here)
        assert types["response"] == len(here) - here.count("damaged") - here.count("revisit")
        assert types["revisit"] == here.count("revisit")


def test_dates_come_from_the_sample_and_ids_are_unique(crawl: Path, captures: list[dict[str, Any]]) -> None:
    headers = [record.rec_headers for path in crawl.glob("*.warc.gz") for record in intact_records(path, captures)]
    assert len(headers) == 3 + 3 * len(captures) - 1
    assert {header.get_header("WARC-Date")[:10] for header in headers} == {"2024-03-02"}
    assert len({header.get_header("WARC-Record-ID") for header in headers}) == len(headers)


def test_damaged_member_does_not_inflate(crawl: Path, one_of: dict[str, dict[str, Any]]) -> None:
    capture = one_of["damaged"]
    data = (crawl / capture["file"]).read_bytes()[capture["offset"] : capture["offset"] + capture["length"]]
    with pytest.raises(zlib.error):
        zlib.decompress(data, wbits=zlib.MAX_WBITS | 16)


@pytest.mark.parametrize(
    ("kind", "encoding"),
    [
        ("charset_wrong", "cp1250"),
        ("charset_meta", "iso-8859-2"),
        ("charset_header", "cp1252"),
        ("charset_undeclared", "utf-8"),
        ("charset_utf16", "utf-16"),
        ("gzip_body", "utf-8"),
        ("chunked_body", "utf-8"),
    ],
)
def test_bodies_hold_the_text_in_their_encoding(
    crawl: Path, one_of: dict[str, dict[str, Any]], kind: str, encoding: str
) -> None:
    _, payload = read(crawl, one_of[kind])
    _, paragraphs = original(one_of[kind]["source"])
    html = payload.decode(encoding)
    assert all(paragraph in html for paragraph in paragraphs)


def test_texts_with_a_task_of_their_own_are_published_once(captures: list[dict[str, Any]]) -> None:
    published = Counter(capture["source"] for capture in captures)
    single = ("charset_", "gzip_body", "chunked_body", "shared_passage")
    sources = [capture["source"] for capture in captures if capture["kind"].startswith(single)]
    assert len(sources) == 16
    assert {published[source] for source in sources} == {1}


def test_wrongly_declared_page_is_not_utf8(crawl: Path, one_of: dict[str, dict[str, Any]]) -> None:
    record, payload = read(crawl, one_of["charset_wrong"])
    assert record.http_headers.get_header("Content-Type") == "text/html; charset=UTF-8"
    with pytest.raises(UnicodeDecodeError):
        payload.decode("utf-8")


def test_revisit_names_the_capture_it_repeats(crawl: Path, captures: list[dict[str, Any]]) -> None:
    revisit = next(capture for capture in captures if capture["kind"] == "revisit")
    first = next(capture for capture in captures if capture["url"] == revisit["url"] and capture["kind"] == "article")
    seen, payload = read(crawl, revisit)
    article, _ = read(crawl, first)
    assert payload == b""
    for theirs, ours in (
        ("WARC-Payload-Digest", "WARC-Payload-Digest"),
        ("WARC-Refers-To-Target-URI", "WARC-Target-URI"),
        ("WARC-Refers-To-Date", "WARC-Date"),
    ):
        assert seen.rec_headers.get_header(theirs) == article.rec_headers.get_header(ours)


def test_exact_copies_have_the_bytes_of_their_article(crawl: Path, captures: list[dict[str, Any]]) -> None:
    articles = {capture["source"]: capture for capture in captures if capture["kind"] == "article"}
    copies = [capture for capture in captures if capture["kind"] == "exact_copy"]
    for copy in copies:
        assert copy["url"] != articles[copy["source"]]["url"]
        assert read(crawl, copy)[1] == read(crawl, articles[copy["source"]])[1]


@pytest.mark.parametrize(
    ("kind", "status", "media_type"),
    [
        ("pdf", "200", "application/pdf"),
        ("image", "200", "image/gif"),
        ("robots", "200", "text/plain"),
        ("redirect", "301", "text/html"),
        ("not_found", "404", "text/html"),
    ],
)
def test_status_and_media_type(
    crawl: Path, one_of: dict[str, dict[str, Any]], kind: str, status: str, media_type: str
) -> None:
    record, _ = read(crawl, one_of[kind])
    assert record.http_headers.get_statuscode() == status
    assert record.http_headers.get_header("Content-Type").split(";")[0] == media_type


def test_pdf_finds_its_own_objects(crawl: Path, one_of: dict[str, dict[str, Any]]) -> None:
    _, pdf = read(crawl, one_of["pdf"])
    table_at = int(pdf.rsplit(b"startxref\n", 1)[1].split()[0])
    header, counts, free, *entries = pdf[table_at:].split(b"trailer")[0].strip().split(b"\n")
    assert (header, counts, free) == (b"xref", b"0 5", b"0000000000 65535 f ")
    assert [pdf[int(entry[:10]) :][:7] for entry in entries] == [b"%d 0 obj" % i for i in range(1, 5)]


def test_malformed_pages(crawl: Path, one_of: dict[str, dict[str, Any]]) -> None:
    assert read(crawl, one_of["nested"])[1].count(b"<div>") == 6000
    assert read(crawl, one_of["empty"])[1] == b""
    record, payload = read(crawl, one_of["truncated"])
    assert record.rec_headers.get_header("WARC-Truncated") == "length"
    assert b"</html>" not in payload


def test_listed_domain_is_on_the_block_list(one_of: dict[str, dict[str, Any]]) -> None:
    host = one_of["listed_domain"]["url"].split("/")[2].encode()
    with (
        as_file(files("datatrove") / "assets" / "url_filterblacklistsv0_3_0.tar.gz") as path,
        tarfile.open(path) as archive,
    ):
        domains = archive.extractfile("domains")
        assert domains is not None
        assert any(line.rstrip() == host for line in domains)


def test_articles_come_out_of_their_pages_and_nothing_else_does(crawl: Path, captures: list[dict[str, Any]]) -> None:
    articles = [capture for capture in captures if capture["kind"] == "article"]
    for capture in articles:
        _, payload = read(crawl, capture)
        text = trafilatura.extract(payload, favor_precision=True, include_comments=False, deduplicate=False)
        assert text is not None, capture["url"]
        title, paragraphs = original(capture["source"])
        assert [line for line in text.split("\n") if line != title] == paragraphs, capture["url"]
