import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree, html

from stages.extraction.fast_trafilatura import FastTrafilatura
from stages.extraction.slimming import _READ, _WHOLE, TESTED, Slimmer
from tests.stages.extraction.html_pages import pages
from tests.stages.extraction.test_fast_trafilatura import real_pages

FAST = FastTrafilatura()
SLIM = Slimmer(["nav", "post"])
PARSER = html.HTMLParser(
    encoding="utf-8", collect_ids=False, default_doctype=False, remove_comments=True, remove_pis=True
)
PIECES = [
    *["<p>", "</p>", "<div class=x>", "<div id='nav'>", "</div>", "<br/>", "<a href='x>y' class=\"post\">", "</a>"],
    *["<b class=navbar href=/x/>", "<i data-x=1 role=main/>", "<p class = 'x'title=y>", "<p =a b==c id=post>"],
    *["<p a\"b='c' class=nav>", "<p x<y id=x>", "<p class=a&amp;b>", "<p class=é>", "<P CLASS=POST ID=x>", "<p {{x}}>"],
    *["<script>", "<script src=x>", "</script>", "<script>a<b</p></script>", "<script><!--<script></script>", "-->"],
    *[
        "<style>",
        "</style>",
        "<style x>.a{}</style>",
        "<title>",
        "</title>",
        "<textarea>",
        "</textarea>",
        "<iframe src=x>",
    ],
    *["</iframe>", "<xmp>", "</xmp>", "<noscript>", "</noscript>", "<plaintext>", "<svg><path d='1'/></svg>"],
    *["<!--", "-->", "<!-->", "<!--->", "--!>", "<!---->", "<!-- a -- b -->", "<!doctype html>", "<!x>", "<?php x?>"],
    *[
        "</",
        "</ >",
        "<",
        "<>",
        "< p>",
        "<p",
        "<p class",
        "<p class=",
        "<p class='",
        "\x0c",
        "\x01",
        "&amp;",
        "&lt;",
        "é",
    ],
    *[
        "text ",
        "more words",
        "\n",
        "</p class='>'>",
        "<table>",
        "<tr>",
        "<td colspan=2>",
        "</table>",
        "<graphic src=x>",
    ],
]
SOUP = st.lists(st.sampled_from(PIECES), max_size=30).map("".join)


def essence(tree, *, read_tested):
    """All that is read of a tree: names, texts, and those attributes."""
    for element in tree.getroottree().getroot().iter():
        names = element.keys() if element.tag in _WHOLE else [*_READ, *(TESTED if read_tested(element) else ())]
        is_opaque = element.tag in ("script", "style")
        kept = {name: value for name, value in element.items() if name in names or name.startswith("{")}
        yield element.tag, None if is_opaque else element.text or "", element.tail or "", kept


def parsed(page):
    try:
        return html.fromstring(page, parser=PARSER)
    except (etree.ParserError, ValueError):
        return None


def assert_same_tree(page, slim, literals):
    slimmed = slim(page)
    if slimmed is None:
        return False
    whole, small = parsed(page.encode()), parsed(slimmed)
    if whole is None or small is None:
        assert whole is small
        return True

    def is_read(element):
        values = [element.get(name, "") for name in TESTED]
        return any(literal in value.lower() for value in values for literal in literals)

    assert [*essence(whole, read_tested=is_read)] == [*essence(small, read_tested=is_read)]
    return True


@settings(max_examples=400)
@given(SOUP)
def test_same_tree_of_any_soup(soup):
    assert_same_tree(f"<html><body>{soup}</body></html>", SLIM, ["nav", "post"])
    assert_same_tree(soup, SLIM, ["nav", "post"])


@settings(max_examples=100)
@given(pages)
def test_same_tree_of_any_page(page):
    assert_same_tree(page, SLIM, ["nav", "post"])


def test_same_tree_of_mutated_real_pages(shared_data):
    rng, n_slimmed = random.Random(20), 0
    captures = [page for page, _ in real_pages(shared_data, "00003")][::25]
    for page in captures:
        for _ in range(6):
            cut = sorted(rng.randrange(len(page)) for _ in range(2))
            piece = "".join(rng.choices(PIECES, k=3))
            for mutated in (page[: cut[0]] + piece + page[cut[0] :], page[: cut[0]] + page[cut[1] :], page[: cut[1]]):
                n_slimmed += assert_same_tree(mutated, FAST._slimmed, FAST.literals)
    assert n_slimmed > len(captures) * 9


@pytest.mark.parametrize(
    ("page", "slim"),
    [
        ("<p title='a' class=x>a</p>", "<p>a</p>"),
        ("<p title='a' class=x id=post>a</p>", "<p class=x id=post>a</p>"),
        ("<p title='a' class='NAV'>a</p>", "<p class='NAV'>a</p>"),
        ("<script type=x src=y>a < b</script>c", "<script type=x></script>c"),
        ("a<!-- b -->c", "a<!---->c"),
        ("<iframe src=x title=y></iframe>", "<iframe src=x title=y></iframe>"),
        ("<img src=x/><br class=nav/>", "<img><br class=nav/>"),
        ("<br id=x class=nav />", "<br id=x class=nav />"),
    ],
)
def test_what_is_left_out(page, slim):
    assert SLIM(page).decode() == slim


@pytest.mark.parametrize(
    "page",
    [
        "<script>a",
        "<!-- a",
        "<!-->a",
        "<!-- a --!>",
        "<p class='a",
        "<plaintext>",
        "a\x01b",
        "a\ufffe",
        "\ud800",
        "<script><!-- <script> --></script>",
        '<script type="application/ld+json">{"@type": "DiscussionForumPosting"}</script>',
        f"<p title='{'a' * (1 << 20)}a'>",
    ],
)
def test_odd_pages_stay_as_they_are(page):
    assert SLIM(page) is None


def test_real_pages_become_slim(shared_data):
    captures = [page for page, _ in real_pages(shared_data, "00002")][::10]
    slimmed = [slim for page in captures if (slim := FAST._slimmed(page))]
    assert len(slimmed) > 0.9 * len(captures)
    assert sum(map(len, slimmed)) < 0.4 * sum(len(page.encode()) for page in captures)


def test_a_literal_that_is_everywhere_is_refused():
    with pytest.raises(ValueError, match="empty literal"):
        Slimmer(["a", ""])


def test_every_name_that_trafilatura_reads_is_known():
    """Attributes named in the sources that extraction runs through, but for those of images and links."""
    modules = ("htmlprocessing", "main_extractor", "xml", "external", "readability_lxml", "xpaths", "core", "utils")
    sources = "".join(Path(FAST._part(name).__file__).read_text(encoding="utf-8") for name in modules)
    named = set(re.findall(r"""(?:\.get\(|attrib\[|@)['"]?([a-z][\w-]+)""", sources)) & HTML_ATTRIBUTES
    assert named <= {*_READ, *TESTED, *ONLY_OF_WHOLE_ELEMENTS, *ONLY_OF_METADATA}


HTML_ATTRIBUTES = {
    *["alt", "aria-hidden", "class", "colspan", "content", "data-component", "data-src", "datetime", "dir", "display"],
    *[
        "encoding",
        "headers",
        "hidden",
        "href",
        "id",
        "itemprop",
        "itemtype",
        "label",
        "lang",
        "name",
        "property",
        "rel",
    ],
    *[
        "rend",
        "role",
        "rowspan",
        "scope",
        "span",
        "src",
        "start",
        "style",
        "target",
        "title",
        "type",
        "value",
        "alttext",
    ],
}
# Images and links are not wanted; iframes are kept whole.
ONLY_OF_WHOLE_ELEMENTS = {"src", "alt", "title", "target", "data-src"}
ONLY_OF_METADATA = {"href", "rel", "hidden", "content", "property", "name", "datetime"}
