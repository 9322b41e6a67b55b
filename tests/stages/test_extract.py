import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.extract import Resiliparse, Trafilatura, extractor, tidy

SENTENCE = (
    "The river had risen in the night, and by morning the lower meadow stood under water as far as the old mill. "
)
PAGE = f"""<html><head><title>Flood</title></head><body>
<nav><ul><li><a href="/">Home</a></li><li><a href="/about">About us</a></li></ul></nav>
<article><h1>The flood</h1>{"".join(f"<p>{i}. {SENTENCE * 3}</p>" for i in range(6))}
<table><tr><th>Day</th><th>Level</th></tr><tr><td>Monday</td><td>3.1 m</td></tr></table></article>
<div id="comments" class="comments"><p>{"I never liked that mill anyway. " * 5}</p></div>
<footer>All rights reserved</footer></body></html>"""


@pytest.mark.parametrize("name", ["trafilatura", "resiliparse"])
def test_main_content_without_surroundings(name):
    text = extractor(name).extract(PAGE, "https://example.org/flood")
    assert all(f"{i}. {SENTENCE}".strip() in text for i in range(6))
    assert "About us" not in text
    assert "rights reserved" not in text


def test_comments_are_left_out_by_trafilatura():
    assert "never liked" not in Trafilatura().extract(PAGE, "")


def test_tables_are_kept_by_trafilatura():
    assert "| Monday | 3.1 m |" in Trafilatura().extract(PAGE, "")


@pytest.mark.parametrize(
    "html", ["", " ", "<html></html>", "\x01", "<" * 100, '<?xml version="1.0" encoding="utf-8"?><p>']
)
@pytest.mark.parametrize("tool", [Trafilatura(), Resiliparse()], ids=lambda tool: tool.name)
def test_nothing_to_find(tool, html, caplog):
    with caplog.at_level(logging.CRITICAL, "trafilatura"):
        assert tool.extract(html, "").strip(" <\x01") == ""


def test_repeated_pages_give_the_same_text():
    tool = Trafilatura()
    assert len({tool.extract(PAGE, "") for _ in range(4)}) == 1


@pytest.mark.parametrize(
    ("raw", "tidied"),
    [
        ("a\n\n\n\nb", "a\n\nb"),
        ("a  \nb\t\n \n\nc", "a\nb\n\nc"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("  a  b  ", "a  b"),
        ("see https://example.org/a?b=c#d for more", "see for more"),
        ("(see www.example.org/a).", "(see )."),
        ("a “http://example.org/x” b", "a “” b"),
        ("https://example.org/only-this\n\n\nnext", "next"),
        ("HTTP://EXAMPLE.ORG, ftp://a.b/c!", ", !"),
        ("a www. b and wwwx.example.org, e-mail a@example.org", "a www. b and wwwx.example.org, e-mail a@example.org"),
        ("ﬁne e\u0301 ½", "ﬁne e\u0301 ½"),
        ("", ""),
    ],
)
def test_tidy(raw, tidied):
    assert tidy(raw) == tidied


@given(st.lists(st.sampled_from([*" \n\t\r.,()a/:", "http://", "www.", "x.org", "\n\n\n", "\u2028", "é"])).map("".join))
def test_tidy_only_takes_away_and_leaves_no_long_gap(raw):
    tidied = tidy(raw)
    assert "\n\n\n" not in tidied
    assert tidied == tidied.strip()
    assert not any(line != line.rstrip(" \t") for line in tidied.split("\n"))
    assert len(tidied.split()) <= len(raw.split())
