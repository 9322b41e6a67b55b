import pyarrow as pa
import pytest

from stages.captures import CaptureRules, gate, looks_like_html

HTML = b"<!DOCTYPE html><html><body><p>text</p></body></html>"
WHOLE = {
    "record_type": "response",
    "http_status": 200,
    "content_type": "text/html",
    "truncated": None,
    "payload": HTML,
    "payload_error": None,
}
SCHEMA = pa.schema(
    [
        ("record_type", pa.string()),
        ("http_status", pa.int32()),
        ("content_type", pa.string()),
        ("truncated", pa.string()),
        ("payload", pa.large_binary()),
        ("payload_error", pa.string()),
    ]
)


def judged(*changes, rules=CaptureRules()):  # noqa: B008 - frozen
    batch = pa.RecordBatch.from_pylist([WHOLE | change for change in changes], SCHEMA)
    result = gate(batch, rules)
    assert result.drop_columns(["capture"]) == batch
    return result.column("capture").to_pylist()


@pytest.mark.parametrize(
    "kept",
    [
        {},
        {"content_type": "application/xhtml+xml"},
        {"content_type": "", "payload": b"\xef\xbb\xbf\n<HTML lang=de>"},
        {"content_type": "", "payload": HTML.decode().encode("utf-16")},
        {"record_type": "resource", "http_status": None},
        {"record_type": "conversion", "http_status": None, "content_type": "text/plain", "payload": b"text"},
    ],
)
def test_whole_pages_pass(kept):
    assert judged(kept) == [None]


@pytest.mark.parametrize(
    ("change", "rule", "value", "detail"),
    [
        ({"http_status": 404}, "http_status", 404, None),
        ({"http_status": None}, "http_status", None, None),
        ({"record_type": "resource", "http_status": 301}, "http_status", 301, None),
        ({"content_type": "application/pdf"}, "content_type", None, "application/pdf"),
        ({"content_type": "text/plain", "payload": b"User-agent: *"}, "content_type", None, "text/plain"),
        ({"record_type": "conversion", "http_status": None}, "content_type", None, "text/html"),
        ({"content_type": "", "payload": b"%PDF-1.4"}, "content_type", None, "none given"),
        ({"truncated": "length"}, "truncated", None, "length"),
        ({"payload_error": "bomb"}, "payload_error", None, "bomb"),
        ({"payload": b""}, "empty_payload", 0, None),
        ({"content_type": "", "payload": b""}, "empty_payload", 0, None),
    ],
)
def test_others_are_dropped_by_name(change, rule, value, detail):
    (verdict,) = judged(change)
    assert (verdict["rule"], verdict["value"], verdict["detail"]) == (rule, value, detail)


def test_first_rule_in_order_is_named():
    (verdict,) = judged({"http_status": 500, "content_type": "image/png", "payload": b""})
    assert verdict["rule"] == "http_status"


def test_payload_limit_is_inclusive():
    rules = CaptureRules(max_payload_bytes=len(HTML))
    kept, dropped = judged({}, {"payload": HTML + b" "}, rules=rules)
    assert kept is None
    assert (dropped["rule"], dropped["value"], dropped["threshold"]) == ("payload_bytes", len(HTML) + 1, len(HTML))


def test_rows_keep_their_order_in_slices_too():
    batch = pa.RecordBatch.from_pylist([WHOLE | {"http_status": status} for status in (200, 404, 200, 500)], SCHEMA)
    verdicts = gate(batch.slice(1, 3), CaptureRules()).column("capture").to_pylist()
    assert [verdict and verdict["value"] for verdict in verdicts] == [404, None, 500]


def test_sniffing_ignores_prose_and_code():
    assert looks_like_html(b"\n<p>hello")
    assert not looks_like_html(b"a < b and <price> is 3")
