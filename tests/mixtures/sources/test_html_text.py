"""Posts in HTML as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.sources.html_text import html_text


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        ("<p>One <b>bold</b>\r\n line.</p>\n\n<p>Two.</p>\n", "One bold line.\n\nTwo."),
        ("plain text only", "plain text only"),
        ("<p>a<br>b<br/>c</p>", "a\nb\nc"),
        ("<p>Use <code>x = `y`</code> or <code>z</code>.</p>", "Use x = `y` or `z`."),
        ("<pre><code>if x:\n    y &lt; 1\n\n</code></pre>", "```\nif x:\n    y < 1\n```"),
        ("<pre><code>a\n```\nb</code></pre>", "````\na\n```\nb\n````"),
        ("<p>see:</p><pre>\n\n</pre><p>end</p>", "see:\n\nend"),
        ("<ul>\n<li>one</li>\n<li><p>two</p>\n<p>more</p></li>\n</ul>", "- one\n- two\n  more"),
        ("<ol><li>one</li><li>two<ul><li>in</li></ul></li></ol>", "1. one\n2. two\n   - in"),
        ("<blockquote>\n<p>a</p>\n<p>b</p>\n</blockquote><p>c</p>", "> a\n>\n> b\n\nc"),
        ("<h1>Head <i>x</i></h1><p>t</p><h3>sub</h3>", "# Head x\n\nt\n\n### sub"),
        ('<p><a href="https://e.org">text</a> <img src="x.png" alt="alt"></p>', "text"),
        ("<table><tr><th>a</th><th>b</th></tr><tr><td>1</td><td>2</td></tr></table>", "a | b\n1 | 2"),
        ("<p>kept</p><script>lost()</script><!-- lost --><style>lost</style>", "kept"),
        ("<p>$a < b$ and $$x$$</p>", "$a < b$ and $$x$$"),
        ("<div><p>in</p> out</div>", "in\n\nout"),
        ("<p>open <b>never closed", "open never closed"),
        ("<p>\x00a\x1fb</p>", "ab"),
        ("<hr>", ""),
        ("  \n", ""),
        ("<!-- only -->", ""),
    ],
)
def test_each_shape(fragment, text):
    assert html_text(fragment) == text


SOUP = ["7", " ", "\n", "`", "<", "&lt;", "&#0;"] + [
    f"<{end}{tag}>"
    for tag in ("p", "ul", "li", "pre", "table", "tr", "td", "b", "blockquote", "h2")
    for end in ("", "/")
]


@given(st.lists(st.sampled_from(SOUP), max_size=30))
def test_any_soup_has_a_text_with_every_word_once(pieces):
    text = html_text("".join(pieces))
    assert text == text.strip()
    assert text.count("7") == pieces.count("7")


@pytest.mark.parametrize("depth", [250, 260, 5000])  # libxml2 gives up between the first two
def test_deep_nesting_loses_no_text(depth):
    fragment = "<div>" * depth + "deep &lt; 3" + "</div>" * depth + "<p>after</p>"
    assert html_text(fragment).split() == ["deep", "<", "3", "after"]
