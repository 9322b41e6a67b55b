"""HTTP responses as crawls hold them."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.http import ENDLESS_HEADER, NO_HEADER, media_type, parse_response

MIB = 1 << 20


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_status_fields_and_body(line_end: bytes) -> None:
    header = [
        b"HTTP/1.1 200 OK",
        b"Content-Type: text/html",
        b"Set-Cookie: a",
        b" folded",
        b"set-cookie: b=\xe9",
        b"",
        b"",
    ]
    response = parse_response(line_end.join(header) + b"body\r\n\r\nwith empty line")
    assert response.status == 200
    assert response.fields == (("Content-Type", "text/html"), ("Set-Cookie", "a folded"), ("set-cookie", "b=é"))
    assert response.values("set-cookie") == ["a folded", "b=é"]
    assert response.body == b"body\r\n\r\nwith empty line"


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"HTTP/1.1 404", 404),
        (b"HTTP/1.0  301 Moved", 301),
        (b"HTTP/2 200", 200),
        (b"HTTP/1.1 abc Weird", None),
        (b"HTTP/1.1 2000 OK", None),
        (b"HTTP/1.1", None),
        (b"HTTP/1.1 200 OK\rwith a lone return", 200),
    ],
)
def test_status_line(line: bytes, status: int | None) -> None:
    response = parse_response(line + b"\r\nA: b\r\n\r\nbody")
    assert (response.status, response.fields, response.body) == (status, (("A", "b"),), b"body")


def test_a_header_without_fields() -> None:
    response = parse_response(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert (response.status, response.fields, response.body, response.error) == (204, (), b"", None)


def test_interim_responses_are_passed_over() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 5000
    response = parse_response(interim + b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody")
    assert (response.status, response.fields, response.body) == (200, (("A", "b"),), b"body")
    assert parse_response(b"HTTP/1.1 100 Continue\r\n\r\n").status == 100


@pytest.mark.parametrize(("block", "body"), [(b"", b""), (b"\r\n\r\n<html>", b"<html>"), (b"<html>", b"<html>")])
def test_a_block_without_header_is_all_body(block: bytes, body: bytes) -> None:
    response = parse_response(block)
    assert (response.status, response.fields, response.body, response.error) == (None, (), body, NO_HEADER)
    assert response.payload(MIB) == (body, NO_HEADER)


def test_a_header_without_end_has_fields_and_no_body() -> None:
    response = parse_response(b"HTTP/1.1 200 OK\r\nContent-Type: text/html")
    assert response.fields == (("Content-Type", "text/html"),)
    assert response.payload(MIB) == (b"", ENDLESS_HEADER)


def test_a_header_of_many_megabytes_is_cut() -> None:
    response = parse_response(b"HTTP/1.1 200 OK\r\n" + b"a:bc\n" * (2 * MIB // 5))
    assert response.error == ENDLESS_HEADER
    assert len(response.fields) == MIB // 5


def test_transfer_coding_comes_off_before_content_coding() -> None:
    zipped = gzip.compress(b"page")
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(zipped), zipped)
    for fields in (
        b"Transfer-Encoding: Chunked\r\nContent-Encoding: GZip\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
    ):
        assert parse_response(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n" + framed).payload(MIB) == (b"page", None)


def test_the_coding_a_crawler_has_undone_is_not_undone_again() -> None:
    block = b"HTTP/1.1 200 OK\r\nX-Crawl-Content-Encoding: gzip\r\nX-Crawl-Transfer-Encoding: chunked\r\n\r\n3\r\nabc"
    assert parse_response(block).payload(MIB) == (b"3\r\nabc", None)


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        ("text/html", ("text/html", "")),
        (" Text/HTML ; Charset = UTF-8", ("text/html", "utf-8")),
        ('text/html; a=b; charset="ISO-8859-2"; c', ("text/html", "iso-8859-2")),
        ("text/html; charset='windows-1250'", ("text/html", "windows-1250")),
        ("text/html; charset=", ("text/html", "")),
        ("; charset=utf-8", ("", "utf-8")),
        ("", ("", "")),
    ],
)
def test_media_type(value: str, parsed: tuple[str, str]) -> None:
    assert media_type(value) == parsed


@settings(deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n"]),
)
def test_anything_parses_and_no_payload_passes_the_cap(data: bytes, before: bytes) -> None:
    response = parse_response(before + data)
    assert (before + data).endswith(response.body)
    assert len(response.payload(100)[0]) <= 100
