import pytest
from hypothesis import given, settings
from lxml import etree, html
from trafilatura import xpaths
from trafilatura.htmlprocessing import convert_tags, tree_cleaning
from trafilatura.settings import Extractor

from stages.extraction.selectors import SelectorSet, alternatives, literal_of
from tests.stages.extraction.html_pages import pages

LISTS = ("RAW_TREE_PRUNE", "REMOVE_COMMENTS_AND_LISTS", "REMOVE_COMMENTS", "OVERALL_DISCARD", "TEASER_DISCARD")
PRUNING = {
    **{name: getattr(xpaths, f"{name}_XPATH") for name in LISTS},
    "PRECISION_DISCARD": xpaths.PRECISION_DISCARD_XPATH[1:],
    "DISCARD_IMAGE": xpaths.DISCARD_IMAGE_ELEMENTS,
}
BODIES = [xpaths.BODY_XPATH[i] for i in (0, 2, 3)]
SELECTORS = SelectorSet({name: [x.path for x in expressions] for name, expressions in PRUNING.items()})
BODY_SELECTORS = SelectorSet({x.path: [x.path] for x in BODIES})


def both_trees(page):
    """As parsed, and as it is when the second half of the selections is made."""
    raw = html.document_fromstring(page)
    yield raw
    options = Extractor(precision=True, comments=False)
    yield convert_tags(tree_cleaning(html.document_fromstring(page), options), options)


@settings(max_examples=150)
@given(pages)
def test_selects_what_the_expressions_select(page):
    for tree in both_trees(page):
        for name, expressions in PRUNING.items():
            expected = {element for expression in expressions for element in expression(tree)}
            selected = SELECTORS[name](tree)
            assert set(selected) == expected, name
            assert selected == [element for element in tree.iter() if element in expected]
        for expression in BODIES:
            assert BODY_SELECTORS[expression.path](tree)[:1] == expression(tree)[:1]


def select(path, markup):
    return [element.get("n") for element in SelectorSet({"": [path]})[""](html.fragment_fromstring(markup))]


@pytest.mark.parametrize(
    ("path", "selected"),
    [
        (".//*[@id='a']", ["1"]),
        (".//*[starts-with(@class, 'ab')]", ["2"]),
        (".//*[contains(@class, 'b')]", ["2", "3"]),
        (".//*[contains(translate(@class, 'X', 'x'), 'xb')]", ["3"]),
        (".//*[self::p or self::b][@class]", ["2"]),
        (".//*[@class][not(self::p or self::b)]", ["3", "4"]),
        (".//*[@class][not(.//i)]", ["2", "4"]),
        (".//*[re:test(@id|@class, '^(?:a|z)$')]", ["1", "4"]),
        (".//*[re:test(@class, 'AB?C', 'i')]", ["2"]),
    ],
)
def test_parts_of_an_expression(path, selected):
    elements = (
        '<u id="a" n="1"></u><p class="abc" n="2"></p><s class="Xb" n="3"><i></i></s><u class="z" id="q" n="4"></u>'
    )
    assert select(path, f"<div>{elements}</div>") == selected


def test_the_element_itself_is_not_below_itself():
    tree = html.fragment_fromstring('<div class="a"><p class="a">x</p></div>')
    assert [element.tag for element in SelectorSet({"": [".//*[@class='a']"]})[""](tree)] == ["p"]


@pytest.mark.parametrize(
    "path",
    [
        ".//article",
        ".//*",
        ".//*[self::div]",
        ".//*[@class='a' or self::div]",
        ".//*[@class='a' and @id='b']",
        ".//*[last()]",
        ".//*[re:test(@id, 'a.*b')]",
        "(.//*[@id='a'])[1]|(.//main)[1]",
    ],
)
def test_other_expressions_are_refused(path):
    etree.XPath(path, namespaces={"re": "http://exslt.org/regular-expressions"})  # they are expressions
    with pytest.raises(ValueError, match=r"compiled|form|attributes"):
        SelectorSet({"": [path]})


def test_elements_may_go_and_change_their_names_between_selections():
    tree = html.fragment_fromstring('<div><p class="a">1</p><p class="b">2</p><b class="a">3</b></div>')
    selectors = SelectorSet({"a": [".//*[self::p or self::i][@class='a']"], "b": [".//*[@class='b']"]})
    assert [element.text for element in selectors["a"](tree)] == ["1"]
    tree[2].tag = "i"
    tree.remove(tree[0])
    assert [element.text for element in selectors["a"](tree)] == ["3"]
    assert [element.text for element in selectors["b"](tree)] == ["2"]
    assert selectors["b"](tree[1]) == []


def test_what_is_remembered_is_bounded(monkeypatch):
    selectors = SelectorSet({"": [".//*[contains(@class, 'nav')]"]})
    monkeypatch.setattr(selectors._masks, "_MAX_CHARS", 200)
    for i in range(100):
        tree = html.fragment_fromstring(f'<div><p class="nav{i}">1</p><p class="x{i}">2</p></div>')
        assert [element.text for element in selectors[""](tree)] == ["1"]
        assert len(selectors._masks._known) < 40


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("a|b", ["a", "b"]),
        ("^(?:a|b-c)", ["^a", "^b-c"]),
        ("(?:^| )ad-", ["^ad-", " ad-"]),
        ("^(?:[Cc]omment(?!ary)|comol)", ["^[Cc]omment(?!ary)", "^comol"]),
        ("x(?:a|b)", ["x(?:a|b)"]),
        ("(?:a|b)?c", ["(?:a|b)?c"]),
    ],
)
def test_alternatives(pattern, parts):
    assert alternatives(pattern) == parts


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("bread-?crumb", "bread"),
        ("[Nn]av", "av"),
        (r"(^|\s)link(\s|$)", "link"),
        ("a(?:b|c)d-e", "d-e"),
        ("^(?:a|)$", ""),
    ],
)
def test_literals(pattern, literal):
    assert literal_of(pattern) == literal
