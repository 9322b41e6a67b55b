import lxml.html
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.extract import Trafilatura, tidy
from stages.markup import scan
from stages.visible import PageLimits, beyond_limits, has_hidden_text, measure


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one<b>two</b></p>three", "one two three"),
        ("<title>A <b> title</title>text", "A <b> title text"),
        ('<a title="x > y" href=\'a"b\'>link</a>', "link"),
        ("<p class=a'b>text</p> isn't", "text isn't"),
        ("a<!-- no <p>no</p> -->b<!-->c<!--->d<!-- no --!>e", "a b c d e"),
        ("<script>if (a < b) {'<p>no</p>'}</script>yes<STYLE>no</STYLE >yes", "yes yes"),
        ("1 < 2 &lt; 3&nbsp;&#52;", "1 < 2 < 3 4"),
        ("<!DOCTYPE html><?xml version='1'?><p>text", "text"),
        ("<noscript>shown</noscript><template>shown</template>", "shown shown"),
        ("<p>before<!-- never closed <p>after", "before after"),
        ("<p>before<script>never closed <p>after", "before never closed after"),
        ('<p>before<a href="never closed>after', "before after"),
        ("before <", "before <"),
        ("", ""),
        ("&#" + "9" * 5000 + ";", "&#" + "9" * 5000 + ";"),
    ],
)
def test_text(html, text):
    assert measure(html).text == text


@pytest.mark.parametrize(
    ("html", "n_tags", "max_depth"),
    [
        ("", 0, 0),
        ("<div><div><span></span></div></div><div></div>", 4, 3),
        ("<p>a<p>b<p>c<br><img><li>d<li>e", 7, 0),
        ("<svg><path/><path/><g><path/></g></svg>", 5, 2),
        ("<o:p/><o:p/><o:p/>", 3, 3),
        ("</div></div><div>", 1, 1),
        ("<div>" * 50_000, 50_000, 50_000),
    ],
)
def test_tags_and_depth(html, n_tags, max_depth):
    # <o:p/> stays open outside of svg, as it does in a browser
    markup = scan(html)
    assert (markup.n_tags, markup.max_depth) == (n_tags, max_depth)


@pytest.mark.parametrize(
    ("html", "max_attributes"),
    [
        ("<p>", 0),
        ("<p a b=c d='e f' g = h i=j/>", 5),
        ("<p a='b'c=\"d e\"f><b x y>", 3),
        ("<p a=b/c d/e></p a b c d e f>", 3),
        ("<p " + "a " * 5000 + ">", 5000),
    ],
)
def test_attributes_of_the_fullest_tag(html, max_attributes):
    assert scan(html).max_attributes == max_attributes


def test_cells_rows_and_items_are_counted():
    markup = scan("<table><tr><td>1<TH>2</tr><tr><td>3</table><ul><li>4<li>5</ul>")
    assert (markup.n_rows, markup.n_cells, markup.n_items) == (2, 3, 2)


@pytest.mark.parametrize(
    "html",
    [
        '<script type="application/ld+json">{"articleBody": "x"}</script>',
        "<div id=data-preloaded data-preloaded='{}'></div>",
    ],
)
def test_text_that_an_extractor_may_find_elsewhere(html):
    assert has_hidden_text(html)
    assert measure(html).words_at_most == 0
    assert not has_hidden_text(html.replace("articleBody", "name").replace("preloaded", "x"))


def test_spans_leave_no_bound():
    assert measure("<table><tr><td colspan=9>a</table>").words_at_most is None
    assert measure("<p>colspan</p>").words_at_most == 1


def test_limits_name_what_is_too_much():
    limits = PageLimits(max_tags=10, max_depth=3, max_attributes=2)
    assert beyond_limits(measure("<p>" * 10), limits) is None
    assert beyond_limits(measure("<p>" * 11), limits) == ("tags", 11, 10)
    assert beyond_limits(measure("<b>" * 4), limits) == ("depth", 4, 3)
    assert beyond_limits(measure("<b a b>"), limits) is None
    assert beyond_limits(measure("<b a b c>"), limits) == ("attributes", 3, 2)


def test_cells_are_counted_by_row():
    table = "<table>" + "<tr><td>a<td>b" * 9 + "<tr><td>1<th>2<td>3"
    assert scan(table).max_cells == 3
    assert beyond_limits(measure(table), PageLimits(max_cells=3)) is None
    assert beyond_limits(measure(table), PageLimits(max_cells=2)) == ("cells", 3, 2)


@pytest.mark.parametrize("piece", ["<", "<a ", "<!--", '<a x="', "<script>", "<title>", "</", "<!", "<![", "&#1", "<p"])
def test_time_is_linear_in_hostile_pages(piece):
    """A quadratic tokenizer would take hours here; the test's own limit ends it."""
    n = 1_000_000
    assert len(scan(piece * n).text) <= len(piece) * n


TAGS = [
    "<p>",
    "</p>",
    "<div>",
    "</div>",
    "<b>",
    "</b>",
    "<a href='x\"y'>",
    "</a>",
    '<i class="a>b">',
    "<br/>",
    "</body>",
]
TABLES = ["<table>", "<tr>", "<td>", "</table>", "<ul>", "<li>", "</ul>", "<svg>", "<path/>", "</svg>"]
OPAQUE = [
    "<script>",
    "</script>",
    "<style>",
    "</style>",
    "<title>",
    "</title>",
    "<textarea>",
    "<script>a<b</p>;</script>",
]
BROKEN = ["<!--", "-->", "<!-->", "--!>", "<![CDATA[", "]]>", "<?php ", "<!x", "</", "</ >", "<p ", *"<>\"'= "]
WORDS = ["word ", "other", "&nbsp;", "&amp;", "1 < 2", "é", "\u00a0", " this is a longer sentence with words."]
SOUP = st.lists(st.sampled_from([*TAGS, *TABLES, *OPAQUE, *BROKEN, *WORDS]), max_size=40).map("".join)


def words_of_tree(html: str) -> int:
    """Words in the text nodes of libxml2's tree, but for those that markup or entities may have a part in."""
    tree = lxml.html.document_fromstring(html.encode(), parser=lxml.html.HTMLParser(encoding="utf-8"))
    elements = [element for element in tree.iter() if isinstance(element.tag, str)]
    texts = [element.text or "" for element in elements if element.tag not in ("script", "style")]
    texts += [element.tail or "" for element in elements]
    return sum(not set(word) & set("<>=&\"'") for text in texts for word in text.split())


@settings(max_examples=300, deadline=None)
@given(SOUP)
def test_no_tree_builder_finds_more_words(html):
    assert words_of_tree(f"<body>{html}") <= len(measure(html).text.split())


@settings(max_examples=150, deadline=None)
@given(SOUP)
def test_extraction_keeps_below_the_bound(html):
    bound = measure(html).words_at_most
    assert bound is None or len(tidy(Trafilatura().extract(html, "")).split()) <= bound
