import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stages.canonical_url import canonical, domain_of, domain_of_canonical


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("HTTP://User:pw@Example.ORG.:80/a", "http://example.org/a"),
        ("https://example.org:443", "https://example.org/"),
        ("https://example.org:0080/", "https://example.org:80/"),
        ("http://example.org?", "http://example.org/"),
        ("http://example.org/a/./b/../c/..", "http://example.org/a/"),
        ("http://example.org/../../a//b/", "http://example.org/a//b/"),
        ("http:\\\\example.org\\a\\b", "http://example.org/a/b"),
        ("http://example.org/a%5Cb", "http://example.org/a%5Cb"),
        ("http://example.org/%7euser/%e4%2f", "http://example.org/~user/%E4%2F"),
        ("http://example.org/100%/ä b", "http://example.org/100%25/%C3%A4%20b"),
        ("http://example.org/%2e%2E/a", "http://example.org/a"),
        ("http://example.org/?b=2&utm_source=x&a=1&GCLID=3", "http://example.org/?b=2&a=1"),
        ("http://example.org/?fbclid=x", "http://example.org/"),
        ("http://example.org/?q=a+b%20c", "http://example.org/?q=a+b%20c"),
        ("http://example.org/a#!b?c", "http://example.org/a"),
        (" <http://example.org/a\n b>\t", "http://example.org/a%20b"),
        ("https://Bücher.example/", "https://xn--bcher-kva.example/"),
        ("https://straße.de/", "https://xn--strae-oqa.de/"),
        ("https://b%C3%BCcher.example/", "https://xn--bcher-kva.example/"),
        ("http://[2001:DB8::1]:8080/", "http://[2001:db8::1]:8080/"),
        ("http://exa mple.org/", "http://exa%20mple.org/"),
        ("dns:example.org#a", "dns:example.org"),
        ("", ""),
    ],
)
def test_canonical_form(url, expected):
    assert canonical(url) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://example.org/", "https://example.org/"),
        ("http://example.org/a", "http://example.org/a/"),
        ("http://example.org/", "http://www.example.org/"),
        ("http://example.org/A", "http://example.org/a"),
        ("http://example.org/?a=1&b=2", "http://example.org/?b=2&a=1"),
    ],
)
def test_addresses_that_may_differ_stay_different(one, other):
    assert canonical(one) != canonical(other)


ESCAPES = ["%2E", "%2F", "%25", "%41", "%00", "%C3%A9", "%"]
SYNTAX = [*"aB/.?#%@:[]&=\\ <>", "//", "/../", "www.", ":80", ":443", "[::1]", "utm_a=1", "http://", "HTTPS:\\\\"]
FOREIGN = [*"éß。ｅİ\ud800\u00a0\x85", "xn--"]
PIECES = st.lists(st.sampled_from([*ESCAPES, *SYNTAX, *FOREIGN])).map("".join)


@settings(max_examples=1000, deadline=None)
@given(st.one_of(st.text(), PIECES, PIECES.map("http://".__add__), PIECES.map("http://a.com/".__add__)))
@example("http://%252541/")
@example("http://" + ":" * 3 + "/")
def test_idempotent_and_never_raises(url):
    once = canonical(url)
    assert canonical(once) == once
    assert domain_of(url) == domain_of_canonical(once)


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://www.Example.org:8080/a", "example.org"),
        ("https://user@news.example.org/", "news.example.org"),
        ("http://[::1]:80/", "[::1]"),
        ("dns:example.org", ""),
        ("/no/host", ""),
    ],
)
def test_domain(url, domain):
    assert domain_of(url) == domain
