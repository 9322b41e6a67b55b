"""Strategies: pages whose markup takes the extractor through most of its branches."""

from hypothesis import strategies as st

SENTENCE = "The river had risen in the night, and by morning the lower meadow stood under water as far as the mill. "
CONTAINERS = ["div", "section", "article", "main", "aside", "p", "span", "ul", "ol", "li", "details", "form", "nav"]
OTHERS = ["h1", "h2", "a", "b", "br", "blockquote", "pre", "code", "table", "tr", "td", "img", "iframe", "footer"]
ODD = ["header", "figure", "noscript", "title", "xmp", "noembed", "style", "script", "textarea", "svg", "math"]
VALUES = [
    *["", "post", "entry", "entry-content", "article-body", "story", "content", "main", "Main-Content", "fulltext"],
    *["comment", "Comments", "commentary", "post-comments", "disqus_thread", "respond", "reply-1", "akismet"],
    *["infinite-scroll", "mvp-post-add-box", "elementor-share-buttons", "share-it", "Newsletter", "newsletter"],
    *["sidebar", "foo bar", "menu", "nav", "navbar", "x ad y", "ad-1", "tags", "author", "byline", "widget", "cookie"],
    *["hidden", "is hidden", "noprint", "comments-title", "teaser", "Teaser", "caption", "bottom", "a bottom", "link"],
    *["permalink", "border-bottom-0", "text-content", "art_content", "postContent", "bread-crumb", "dfpAd", "ARTICLE"],
]
STYLES = ["", "display:none", "display: none", "border: 1px", "visibility:hidden", "color: red"]
TEXTS = [
    "",
    " ",
    "\n",
    "Mail",
    "A line",
    "a < b & c",
    "Short text, with commas, here.",
    SENTENCE,
    SENTENCE * 3,
    "ĳ ½ \xa0",
]

_escaped = st.sampled_from(TEXTS).map(lambda text: text.replace("&", "&amp;").replace("<", "&lt;"))
_attributes = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["id", "class", "class", "itemprop", "role", "data-component"]), st.sampled_from(VALUES)
        ),
        st.tuples(st.just("style"), st.sampled_from(STYLES)),
        st.sampled_from([("aria-hidden", "true"), ("role", "Navigation"), ("data-lp-replacement-content", "")]),
        st.sampled_from([("href", "/x"), ("src", "https://youtube.com/1"), ("role", "main"), ("colspan", "2")]),
    ),
    max_size=3,
    unique_by=lambda pair: pair[0],
).map(lambda pairs: "".join(f' {name}="{value}"' for name, value in pairs))
_tags = st.one_of(
    st.sampled_from(CONTAINERS), st.sampled_from(CONTAINERS), st.sampled_from(OTHERS), st.sampled_from(ODD)
)


def _element(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    parts = st.tuples(_tags, _attributes, st.lists(inner, max_size=4).map("".join), _escaped)
    return parts.map(lambda part: f"<{part[0]}{part[1]}>{part[2]}</{part[0]}>{part[3]}")


fragments = st.recursive(_escaped.map(lambda text: f"<p>{text}</p>"), _element, max_leaves=25)
pages = st.lists(fragments, min_size=1, max_size=4).map(
    lambda bodies: f"<html><head><title>T</title></head><body>{''.join(bodies)}</body></html>"
)
