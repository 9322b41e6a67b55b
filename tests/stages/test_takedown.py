import pyarrow as pa
import pytest

from stages.takedown import TakedownList, domain_entry, filter_takedown, url_entry


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("HTTP://Example.org:80/a/../b#top", "http://example.org/b"),
        ("https://example.org", "https://example.org/"),
        ("https://straße.example/?utm_source=x", "https://xn--strae-oqa.example/"),
    ],
)
def test_an_address_is_taken_in_any_spelling(written, address):
    assert url_entry(written) == address


@pytest.mark.parametrize(
    "text", ["example.org/page", "https://", "#top", "urn:isbn:1", "http://a.example/ http://b.example/"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="is no address; write it whole"):
        url_entry(text)


@pytest.mark.parametrize(
    ("written", "domain"),
    [
        ("Example.ORG", "example.org"),
        ("www.example.org.", "example.org"),
        ("straße.example", "xn--strae-oqa.example"),
        ("10.0.0.1", "10.0.0.1"),
    ],
)
def test_a_domain_is_taken_in_any_spelling(written, domain):
    assert domain_entry(written) == domain


@pytest.mark.parametrize(
    "text", ["org", "*.example.org", ".example.org", "a b.example", "example.org:80", "me@example.org", "www.org"]
)
def test_what_is_no_domain_is_refused(text):
    with pytest.raises(ValueError, match="is no domain; write it as"):
        domain_entry(text)


def test_an_address_among_domains_is_refused_with_the_mend():
    with pytest.raises(ValueError, match="list it with --urls"):
        domain_entry("example.org/page")


def test_pages_are_found_by_address_and_by_domain_with_its_subdomains():
    urls = [
        "http://example.org/a#x",
        "https://example.org/a",
        "http://www.example.org/a",
        "http://listed.example/a",
        "http://deep.sub.listed.example:8080/",
        "http://notlisted.example/",
        "http://listed.example.org/",
        "http://xn--strae-oqa.example/",
        "",
    ]
    listed = TakedownList(
        frozenset({"http://example.org/a", "http://listed.example/a"}),
        frozenset({"listed.example", "xn--strae-oqa.example"}),
    )
    batch = filter_takedown(pa.RecordBatch.from_pydict({"url": urls}), listed)
    assert [row and (row["rule"], row["detail"]) for row in batch.column("takedown").to_pylist()] == [
        ("listed_url", "http://example.org/a"),
        None,
        None,
        ("listed_url", "http://listed.example/a"),
        ("listed_domain", "listed.example"),
        None,
        None,
        ("listed_domain", "xn--strae-oqa.example"),
        None,
    ]
    assert TakedownList().matches(pa.array(urls)) == {}
