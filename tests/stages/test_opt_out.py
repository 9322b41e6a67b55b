import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.opt_out import DIRECTIVES, RESERVATION, OptOutRules, filter_opt_out, of_header, of_meta_tags
from stages.visible import measure

KNOWN = {*DIRECTIVES, RESERVATION}


@pytest.mark.parametrize(
    ("fields", "signals"),
    [
        ([("X-Robots-Tag", "noai, noimageai")], {"noai", "noimageai"}),
        ([("x-robots-tag", "NoIndex")], {"noindex"}),
        ([("X-Robots-Tag", "none")], {"noindex"}),
        ([("X-Robots-Tag", "noindex"), ("X-Robots-Tag", "noai")], {"noindex", "noai"}),
        ([("X-Robots-Tag", "ccbot: noai")], {"noai"}),
        ([("X-Robots-Tag", "*: noai")], {"noai"}),
        ([("X-Robots-Tag", "googlebot: noindex, noai")], set()),
        ([("X-Robots-Tag", "otherbot: noindex, CCBot: nofollow, noai")], {"noai"}),
        ([("X-Robots-Tag", "unavailable_after: 25 Jun 2030 15:00:00 PST, noai")], {"noai"}),
        ([("X-Robots-Tag", "max-snippet:20, max-image-preview:large, noai")], {"noai"}),
        ([("X-Robots-Tag", "all, follow, noaindex")], set()),
        ([("TDM-Reservation", " 1 "), ("TDM-Policy", "https://example.org/policy.json")], {"tdm-reservation"}),
        ([("tdm-reservation", "0"), ("content-type", "noai")], set()),
    ],
)
def test_header(fields, signals):
    assert of_header(fields) == signals


@pytest.mark.parametrize(
    ("html", "signals"),
    [
        ('<meta name="robots" content="noai, noimageai">', {"noai", "noimageai"}),
        ("<META CONTENT='noindex,follow' NAME=Robots />", {"noindex"}),
        ("<meta name=robots content=noai>", {"noai"}),
        ('<meta name="CCBot" content="noindex">', {"noindex"}),
        ('<meta name="googlebot" content="noindex">', set()),
        ('<meta name="tdm-reservation" content="1"><meta name="tdm-policy" content="x">', {"tdm-reservation"}),
        ('<meta name="tdm-reservation" content="0">', set()),
        ('<meta name="robots" content="no&#97;i">', {"noai"}),
        ('<meta name="robots" data-note="a > b" content="noai">', {"noai"}),
        ('<!-- <meta name="robots" content="noai"> -->', set()),
        ('<script>\'<meta name="robots" content="noai">\'</script>', set()),
        ('<title><meta name="robots" content="noai"></title>', set()),
        ('<meta name="description" content="robots, noai">', set()),
        ('<metadata name="robots" content="noai">', set()),
        ('<meta name="robots" content="noai', set()),
    ],
)
def test_meta_tags(html, signals):
    assert of_meta_tags(measure(html).metas) == signals


def test_only_so_many_meta_tags_are_read():
    tag = '<meta name="robots" content="noai">'
    assert len(measure("<meta>" * 1000).metas) == 256
    assert of_meta_tags(measure("<meta>" * 255 + tag).metas) == {"noai"}


@given(st.lists(st.text()), st.lists(st.tuples(st.text(), st.text())))
def test_anything_can_be_read(tags, fields):
    assert of_meta_tags(tags) <= KNOWN
    assert of_header(fields) <= KNOWN


@given(st.text(alphabet=" <>=\"'meta/nroboscilp1-!", max_size=60))
def test_no_markup_breaks_the_scan(html):
    assert of_meta_tags(measure(html).metas) <= KNOWN


def test_recorded_only_unless_the_recipe_says_otherwise():
    batch = pa.RecordBatch.from_pydict({"opt_out": [[], ["noai", "noindex"], ["tdm-reservation"]]})

    def rules(*drop):
        verdicts = filter_opt_out(batch, OptOutRules(drop=drop)).column("opt_out_filter").to_pylist()
        return [verdict and verdict["rule"] for verdict in verdicts]

    assert rules() == [None, None, None]
    assert rules("noindex") == [None, "noindex", None]
    assert rules("tdm-reservation", "noindex", "noai") == [None, "noindex", "tdm-reservation"]
