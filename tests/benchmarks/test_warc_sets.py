import io

import pytest
from fastwarc.warc import ArchiveIterator

from stages.language import ELEVEN
from warc_sets import captures, copies_needed, records, responses, write_doomed, write_start_up


def read(path):
    return [
        (record.headers["WARC-Type"], record.record_id, record.headers.get("WARC-Target-URI"), record.reader.read())
        for record in ArchiveIterator(io.BytesIO(path.read_bytes()), parse_http=False)
    ]


def member(kind, number, uri, block=b"HTTP/1.1 200 OK\r\n\r\nhello"):
    import gzip

    head = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Record-ID: <urn:uuid:{number}>\r\nWARC-Target-URI: {uri}\r\n"
    head += f"WARC-Concurrent-To: <urn:uuid:0>\r\nContent-Length: {len(block)}\r\n\r\n"
    return gzip.compress(head.encode() + block + b"\r\n\r\n")


@pytest.fixture
def crawl(tmp_path):
    path = tmp_path / "a.warc.gz"
    kinds = ("request", "response", "metadata")
    pages = ("http://a.org/", "http://b.org/?q=1", "http://c.org/")
    path.write_bytes(b"".join(member(kind, f"{page}{kind}", page) for page in pages for kind in kinds))
    return path


def test_the_start_up_pages_are_one_of_each_language(tmp_path):
    pages = read(write_start_up(tmp_path / "pages"))
    assert [uri.rpartition("/")[2] for _, _, uri, _ in pages] == list(ELEVEN)
    assert all(len(block.split()) > 80 for *_, block in pages)


def test_captures_hold_the_records_of_one_fetch(crawl):
    assert [[record.field("warc-type") for record in capture] for capture in captures(crawl)] == [
        ["request", "response", "metadata"]
    ] * 3


def test_two_fetches_of_one_address_in_a_row_are_two_captures(tmp_path):
    path = tmp_path / "twice.warc.gz"
    path.write_bytes(member("response", 1, "http://a.org/") + member("response", 2, "http://a.org/"))
    assert [len(capture) for capture in captures(path)] == [1, 1]


def test_responses_are_found_by_their_place(crawl):
    found = responses([crawl])
    assert list(found.values()) == [
        ("a.warc.gz", f"<urn:uuid:{page}response>") for page in ("http://a.org/", "http://b.org/?q=1", "http://c.org/")
    ]
    offsets = {record.offset for record in records(crawl) if record.is_response}
    assert {offset for _, offset in found} == offsets


@pytest.mark.parametrize(
    ("pages", "doomed", "share", "copies"), [(100, 20, 0.65, 129), (100, 20, 0.2, 0), (100, 20, 0.1, 0), (3, 0, 0.0, 0)]
)
def test_copies_needed(pages, doomed, share, copies):
    assert copies_needed(pages, doomed, share) == copies
    if copies:
        assert (doomed + copies) / (pages + copies) == pytest.approx(share, abs=0.005)


def test_doomed_pages_are_repeated_whole_under_names_of_their_own(crawl, tmp_path):
    doomed = {("a.warc.gz", "<urn:uuid:http://b.org/?q=1response>"), ("a.warc.gz", "<urn:uuid:http://c.org/response>")}
    (path,) = write_doomed([crawl], doomed, 0.8, tmp_path / "more")
    written = read(path)
    assert len(written) == 9 + 2 * 3  # (2 + 2) / (3 + 2) = 0.8
    assert len({record_id for _, record_id, *_ in written}) == len(written)
    addresses = [uri for kind, _, uri, _ in written if kind == "response"]
    assert addresses == [
        "http://a.org/",
        "http://b.org/?q=1",
        "http://b.org/?q=1&copy=1",
        "http://c.org/",
        "http://c.org/?copy=1",
    ]
    assert {block for *_, block in written} == {b"HTTP/1.1 200 OK\r\n\r\nhello"}
    assert b"WARC-Concurrent-To: <urn:uuid:0-copy-1>" in [*records(path)][6].data


def test_a_damaged_file_is_refused(crawl):
    crawl.write_bytes(crawl.read_bytes()[:-10])
    with pytest.raises(SystemExit, match="cut short"):
        list(records(crawl))
