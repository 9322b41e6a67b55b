import io
from html.parser import HTMLParser

import pytest

from pipeline.report import print_funnel

VOID = {"meta", "br", "link"}


class Page(HTMLParser):
    """The page as a browser sees it: its text, its tags with attributes, and whether tags match."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.words = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data + (" " if self.open[-1] != "b" else ""))

    def every(self, name):
        return [attributes for tag_name, attributes in self.tags if tag_name == name]


@pytest.fixture(scope="session")
def read_page():
    """HTML → the page as a browser sees it."""
    return Page


@pytest.fixture(scope="session")
def printed():
    """Figures → the funnel as a log shows it."""

    def print_to_text(stats):
        stream = io.StringIO()
        print_funnel(stats, stream)
        return stream.getvalue()

    return print_to_text


@pytest.fixture
def figures():
    """A run of two files: 1,516 pages in, 1,200 documents out, one damaged range."""
    return {
        "format": 1,
        "recipe": "refinedweb",
        "languages": ["en", "de"],
        "inputs": [
            {
                "warc_path": "crawl/a.warc.gz",
                "size": 9_000,
                "records": 8_900,
                "padding": 0,
                "damaged": 100,
                "counts": {"response": 1_000},
                "captures": 1_000,
                "published": 800,
                "rejected": 200,
            },
            {
                "warc_path": "crawl/b.warc.gz",
                "size": 5_000,
                "records": 4_990,
                "padding": 10,
                "damaged": 0,
                "counts": {"response": 516},
                "captures": 516,
                "published": 400,
                "rejected": 116,
            },
        ],
        "totals": {
            "captures": 1_516,
            "published": 1_200,
            "rejected": 316,
            "bytes": 14_000,
            "record_bytes": 13_890,
            "padding_bytes": 10,
            "damaged_bytes": 100,
            "damaged_ranges": 1,
            "other_records": {"request": 1_517, "warcinfo": 2},
        },
        "funnel": [
            {"stage": "capture", "in": 1_516, "out": 1_476, "rules": {"http_status": 17, "content_type": 23}},
            {"stage": "same_record", "in": 1_476, "out": 1_476, "rules": {}},
            {"stage": "minhash", "in": 1_476, "out": 1_200, "rules": {"near_duplicate": 276}},
        ],
        "by_language": {
            "en": {"published": 900, "rejected": 100, "rules": {"minhash:near_duplicate": 99}, "chars": 1_234_567},
            "de": {"published": 300, "rejected": 176, "rules": {"minhash:near_duplicate": 176}, "chars": 999},
            "unknown": {"published": 0, "rejected": 40, "rules": {"capture:http_status": 17}, "chars": 0},
        },
        "by_domain": [{"domain": "example.org", "captures": 77, "published": 70, "rejected": 7}],
        "histograms": {
            "text_chars": {"edges": [0, 100, 2_000], "counts": {"kept": [0, 1_100, 100], "rejected": [200, 76, 0]}},
            "language_score": {"edges": [0.0, 0.5, 1.0], "counts": {"kept": [0, 1_200], "rejected": [40, 236]}},
            "cluster_size": {"1": 1_000, "2": 190, "6": 7, "300": 3},
        },
        "datasets": [
            {"name": "RefinedWeb-English", "documents": 900, "chars": 1_234_567, "shards": 1},
            {"name": "RefinedWeb-Europe/lang=de", "documents": 300, "chars": 999, "shards": 2},
        ],
    }
