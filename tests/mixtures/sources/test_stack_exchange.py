"""Stack Exchange dumps."""

import gzip
import tempfile
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.errors import InputError
from mixtures.sources import stack_exchange
from mixtures.sources.document import Dropped
from mixtures.sources.stack_exchange import rows
from tests.mixtures.sources.imports import imported, options_of, piece_of

SITE = "gardening.stackexchange.com"
FIRST = """Why do leaves < one week old turn "yellow"?

My tomatoes & peppers have yellow leaves.

- watered daily
- full sun

Is $N < 5$ too little?

Too much water.
Wait until it is dry.

Log it:

```
for day in week:
    water(day)  # not every day
```

and read about nitrogen."""


def test_a_dump_becomes_threads_with_the_accepted_answer_first(samples, tmp_path):
    report, documents = imported("stackexchange", samples / SITE, tmp_path / "out")
    first, second = sorted(documents, key=lambda document: document["url"])
    assert first["text"] == FIRST
    assert (first["url"], first["source"]) == (f"https://{SITE}/q/1", f"stackexchange/{SITE}")
    assert first["licence"] == "CC BY-SA 2.5; CC BY-SA 3.0"
    assert first["title"] == 'Why do leaves < one week old turn "yellow"?'
    assert second["text"].startswith("Soil for blueberries\n\nWhich `pH` for blueberries?\n\n> Which pH\n\n1. Measure.")
    counts = report["counts"]
    assert counts["dropped"] == {
        "answer below min_answer_score": 1,
        "answer without its question": 1,
        "fewer than min_answers": 1,
        "neither question nor answer": 1,
    }
    assert counts["damaged"] == {"broken row": 1}
    broken = (samples / SITE / "Posts.xml").read_bytes().index(b'<row Id="8"')
    assert counts["examples"] == [f"Posts.xml, byte {broken}: broken row"]
    assert counts["records"] == 10 == counts["records_used"] + 4 + 1


def test_a_packed_dump_gives_the_same_documents(samples, tmp_path):
    packed = tmp_path / SITE / "Posts.xml.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress((samples / SITE / "Posts.xml").read_bytes()))
    _, plain = imported("stackexchange", samples / SITE, tmp_path / "plain")
    _, unpacked = imported("stackexchange", packed, tmp_path / "packed")
    assert unpacked == plain


@pytest.mark.parametrize(
    ("setting", "urls"),
    [
        ("min_answers=0", ["/q/1", "/q/6", "/q/9"]),
        ("min_question_score=5", ["/q/1"]),
        ("min_answer_score=6", ["/q/1", "/q/9"]),
        ("min_answer_score=7", ["/q/1"]),
        ("closed=drop", ["/q/1"]),
        ("min_answers=2", ["/q/1"]),
    ],
)
def test_thresholds(setting, urls, samples, tmp_path):
    _, documents = imported("stackexchange", samples / SITE, tmp_path / "out", setting)
    assert sorted(document["url"].removeprefix(f"https://{SITE}") for document in documents) == urls


def test_answers_are_ordered_and_limited_as_asked(samples, tmp_path):
    settings = (
        "accepted_first=false",
        "max_answers=1",
        "format={thread: '{question} // {answers}', answer: '({score}) {answer}'}",
    )
    report, documents = imported("stackexchange", samples / SITE, tmp_path / "out", *settings)
    (first,) = (document["text"] for document in documents if document["url"].endswith("/q/1"))
    assert " // (9) Log it:" in first
    assert "Too much water" not in first
    assert report["counts"]["dropped"]["answer beyond max_answers"] == 1


def test_a_site_is_told_by_the_recipe_the_folder_or_the_file():
    options = options_of("stackexchange")

    def site(path, options=options):
        return stack_exchange._site(piece_source(path), options)

    assert site("/x/math.stackexchange.com/Posts.xml") == "math.stackexchange.com"
    assert site("/x/stackoverflow.com-Posts/Posts.xml.gz") == "stackoverflow.com"
    assert site("/x/es.meta.stackoverflow.com-Posts.xml") == "es.meta.stackoverflow.com"
    assert site("/dumps/Posts.xml", options_of("stackexchange", "site=askubuntu.com")) == "askubuntu.com"
    with pytest.raises(InputError, match=r"/dumps/Posts.xml: which site is this dump of\? give --set site="):
        site("/dumps/Posts.xml")


@pytest.mark.parametrize("head", ["\ufeff".encode("utf-16-le"), b"no xml"])
def test_a_file_that_is_no_dump_in_utf_8_is_refused(head, samples, tmp_path):
    path = tmp_path / SITE / "Posts.xml"
    path.parent.mkdir()
    path.write_bytes(head + (samples / SITE / "Posts.xml").read_text(encoding="utf-8").encode("utf-16-le"))
    with pytest.raises(InputError, match=r"Posts\.xml: neither <posts> nor a <row …> in its beginning; .* UTF-8"):
        imported("stackexchange", path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_dump_has_no_records(tmp_path):
    path = tmp_path / SITE / "Posts.xml"
    path.parent.mkdir()
    path.write_text('<?xml version="1.0" encoding="utf-8"?>\n<posts>\n</posts>\n')
    assert imported("stackexchange", path, tmp_path / "out")[0]["counts"]["records"] == 0


def piece_source(path):
    from mixtures.sources.inputs import Source

    return Source(path=path, name="Posts.xml", size=0, digest="")


ATTRIBUTE = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff"), max_size=20
)


@settings(max_examples=60)
@given(
    bodies=st.lists(ATTRIBUTE, min_size=1, max_size=6),
    ending=st.sampled_from(["\n", "\r\n", ""]),
    size=st.integers(1, 200),
    chunk=st.integers(1, 64),
)
def test_parts_of_any_size_hold_each_row_once_with_its_very_text(bodies, ending, size, chunk):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack_exchange, "_CHUNK", chunk)
        path = Path(folder) / "Posts.xml"
        content = ending.join(
            ["<?xml version='1.0'?>", "<posts>"]
            + [f"  <row Id={quoteattr(str(i))} Body={quoteattr(body)} />" for i, body in enumerate(bodies)]
            + ["</posts>"]
        )
        path.write_bytes(content.encode())
        found = [
            row for start in range(0, path.stat().st_size, size) for row in rows(piece_of(path, start, start + size))
        ]
        assert found == list(rows(piece_of(path)))
        told = [stack_exchange._attributes(row) for _, row in found]
        assert [(post["Id"], post["Body"]) for post in told] == [(str(i), body) for i, body in enumerate(bodies)]
        for offset, row in found:
            assert content.encode()[offset : offset + len(row)] == row


@pytest.mark.parametrize(
    ("row", "value"),
    [
        (b'<row Id="1" Body="a&#x1F;b&#0;c&#11;d&#xA;e"/>', "abcd\ne"),
        (b'<row Id="1" Body="x"></row>', "x"),
        (b'<row Id="1" Body="x" Other', None),
        (b'<row Id="1" Body="&undefined;"/>', None),
        (b"<row Id='1' Body='a>b'/>", "a>b"),
    ],
)
def test_odd_rows(row, value, tmp_path):
    path = tmp_path / "Posts.xml"
    path.write_bytes(b"<posts>" + row + b"</posts>")
    (found,) = rows(piece_of(path))
    post = stack_exchange._attributes(found[1])
    assert (post and post["Body"]) == value


def test_a_row_without_end_costs_only_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(stack_exchange, "_CHUNK", 50)
    monkeypatch.setattr(stack_exchange, "_MAX_ROW_BYTES", 300)
    path = tmp_path / "Posts.xml"
    path.write_bytes(b'<posts>\n<row Id="1" />\n<row Id="2" Body="' + b"x" * 1000 + b'" />\n<row Id="3" />\n</posts>')
    first, broken, last = rows(piece_of(path))
    assert [stack_exchange._attributes(row)["Id"] for _, row in (first, last)] == ["1", "3"]
    assert broken == Dropped(reason="row too long", place="Posts.xml, byte 23", damaged=True)


def test_the_same_post_twice_counts_once(samples, tmp_path):
    for name in ("one", "two"):
        copy = tmp_path / name / SITE / "Posts.xml"
        copy.parent.mkdir(parents=True)
        copy.write_bytes((samples / SITE / "Posts.xml").read_bytes())
    _, once = imported("stackexchange", samples / SITE, tmp_path / "out")
    report, twice = imported("stackexchange", [tmp_path / "one", tmp_path / "two"], tmp_path / "out2")
    assert twice == once
    assert report["counts"]["dropped"]["same post again"] == 8
