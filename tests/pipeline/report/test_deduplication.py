"""The section on deduplication: its figures, what is folded, and names and texts from the web."""

import pytest

from pipeline.report import render

SAMPLE = {
    "n_documents": 12_000,
    "languages": [{"language": "en", "n_documents": 11_999}, {"language": "de", "n_documents": 1}],
    "n_domains": 7,
    "domains": [{"domain": "a.example", "n_documents": 9_000}, {"domain": "", "n_documents": 20}],
    "url": "http://a.example/",
    "text": "We use\n\ncookies. " * 20,
}


@pytest.fixture
def told(figures):
    """The figures of a run with all that deduplication shows."""
    removed = {"exact_dedup": 3, "minhash": 1}
    cuts = {"n_cuts": 12_345, "length": 310, "n_bytes": 9}
    return figures | {
        "deduplication": {
            "similarity": {"edges": [0.98, 0.99, 1.0], "counts": {"edges": [5, 2], "indexed": [0, 9]}},
            "cluster_size": {"3": 2},
            "passage_bytes": {"edges": [0, 100, 200], "counts": {"cut": [0, 7]}},
            "steps": ["exact_dedup", "minhash"],
            "removal": {
                "language": [{"name": "en", "pages": 8, "removed": removed, "passage_bytes": 1_234}],
                "domain": [
                    {"name": f"{n}.example", "pages": 4, "removed": removed, "passage_bytes": 0} for n in range(14)
                ],
            },
            "top_clusters": [SAMPLE | {"representative_id": "a" * 32}],
            "top_passages": [SAMPLE | {"text": "short", "first_id": "b" * 32, "first_start": 4} | cuts],
        }
    }


def test_the_figures_are_told(told, read_page):
    text = read_page(render(told)).text
    assert (
        "7 verified pairs of near-duplicates, 9 with documents of the index; 2 clusters; 7 repeated passages." in text
    )
    assert "0.98 to 0.99 Jaccard similarity: 5 edges, 0 indexed" in text
    assert "100 to 200 bytes: 7" in text
    assert "Language Pages in exact dedup minhash Removed Repeated bytes en 8 3 1 50.0 % 1.23 k" in text
    assert "12,000 en 11,999, de 1 a.example 9,000, none 20, 5 more We use cookies." in text
    assert "12,345 12,000 310 a.example 9,000, none 20, 5 more short http://a.example/" in text


def test_long_tables_and_texts_are_folded(told, read_page):
    page = read_page(render(told))
    assert "11.example 4 3 1 100.0 % 0 2 more Domain" in page.text
    begin, whole = page.text.index("… We use"), page.text.index("We use cookies.")
    assert 100 < begin - whole < 120  # the beginning, then all of it
    assert page.every("blockquote") == [{"dir": "auto"}]


def test_a_representative_in_an_index_is_told_by_its_id(told, read_page):
    told["deduplication"]["top_clusters"][0] |= {"url": None, "text": None}
    assert f"{'a' * 32} in the index" in read_page(render(told)).text


def test_names_and_texts_are_only_text(told, read_page):
    hostile = '<script>alert("1")</script>&amp;\u202e\ud800<a href="http://evil">'
    shown = told["deduplication"]
    for row in (*shown["top_clusters"], *shown["top_passages"]):
        row |= {"url": hostile, "text": hostile * 9}
        row["domains"] = [{"domain": hostile, "n_documents": 1}]
        row["languages"] = [{"language": hostile, "n_documents": 1}]
    shown["removal"]["domain"][0]["name"] = hostile
    shown["steps"] = [hostile]
    page = read_page(render(told))
    assert len(page.every("script")) == 1
    assert {link["href"] for link in page.every("a")} == {"#inputs"}


def test_nothing_found_is_said(told, read_page):
    told["deduplication"] |= {"top_clusters": [], "top_passages": [], "removal": {"language": [], "domain": []}}
    text = read_page(render(told)).text
    assert "No two pages were alike." in text
    assert "No passage was found twice." in text
    assert text.count("Nothing was removed.") == 2
