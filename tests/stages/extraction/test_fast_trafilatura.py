import logging
import sys

import pytest
import trafilatura
from hypothesis import given, settings
from warcio.archiveiterator import ArchiveIterator

from stages.charset import decode
from stages.extract import Trafilatura
from stages.extraction.fast_trafilatura import VERSION, FastTrafilatura, _fits
from tests.stages.extraction.html_pages import SENTENCE, pages

FAST, PLAIN = FastTrafilatura(), Trafilatura(fast=False)
FORUM = '{"@type": "DiscussionForumPosting"}'
ARTICLE = f"<article>{f'<p>{SENTENCE}</p>' * 5}</article>"


def real_pages(shared_data, name=""):
    for path in sorted((shared_data / "warc").glob(f"*{name}.warc.gz")):
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream):
                is_page = record.rec_type == "response" and "html" in record.http_headers.get("content-type", "")
                if is_page and record.http_headers.get_statuscode() == "200":
                    yield decode(record.content_stream().read(), "").text, record.rec_headers["WARC-Target-URI"]


def differing(captures):
    return [url for page, url in captures if FAST.extract(page, url) != PLAIN.extract(page, url)]


def test_the_version_is_the_one_compared_with():
    assert trafilatura.__version__ == VERSION


def test_same_text_of_real_pages(shared_data):
    assert differing(list(real_pages(shared_data, "00001"))[::9]) == []


@pytest.mark.slow
def test_same_text_of_all_real_pages(shared_data):
    captures = list(real_pages(shared_data))
    assert len(captures) > 1400
    assert differing(captures) == []


@settings(max_examples=150)
@given(pages)
def test_same_text_of_any_page(page):
    assert FAST.extract(page, "") == PLAIN.extract(page, "")


@pytest.mark.parametrize(
    "page",
    [
        "",
        "\x01",
        "<p>",
        "<script>x</script>",
        "<style>x</style><p>x",
        "<p>a\x00b\ufffe\x1fc</p>",
        "<?xml version='1.0' encoding='utf-8'?><html><body><p>a</p></body></html>",
        "\ud800<html><body><p>x</p></body></html>",
        f"<div><div class='a'>{SENTENCE}</div>{SENTENCE}</div>",
        f"<p>{SENTENCE * 4}</p><p>{SENTENCE * 9}</p>",
        f"<html><body>{ARTICLE}</body></html>",
        f"<html><body><div class='sidebar'>{SENTENCE * 40}</div>{ARTICLE}</body></html>",
        f"<html><body><div>{ARTICLE}<div>{f'<p>{SENTENCE}</p>' * 40}</div></div></body></html>",
        f"<html><body>{ARTICLE}<xmp>{'<b>' * 2000}</xmp></body></html>",
        f"<html><body>{ARTICLE}{'<iframe src=https://youtube.com/1></iframe>' * 300}</body></html>",
        f"<html><body>{ARTICLE}<svg><title></title></svg><div>{SENTENCE * 9}</div></body></html>",
        f"<html><body><table>{f'<tr><td>{SENTENCE}</td></tr>' * 9}</table></body></html>",
        f'<script type="application/ld+json">{FORUM}</script><form class="comments">{ARTICLE}</form>',
    ],
)
def test_same_text_of_odd_pages(page, caplog):
    with caplog.at_level(logging.CRITICAL, "trafilatura"):
        assert FAST.extract(page, "https://example.org/") == PLAIN.extract(page, "https://example.org/")


def test_what_readability_returns_is_not_longer_than_its_input(shared_data):
    """What `_may_be_longer` rests on: each step of readability only takes text away."""
    for page, _ in list(real_pages(shared_data, "00002"))[::20]:
        tree = FAST._part("utils").load_html(page)
        for element in list(tree.iter("script", "style", "fencedframe")):
            element.drop_tree()
        most_chars = len(" ".join(tree.text_content().split())) + len("VIDEO") * len(tree.findall(".//iframe"))
        assert _fits(FAST._part("external").try_readability(tree), most_chars)


def test_the_package_that_others_import_is_untouched():
    assert type(trafilatura.xpaths.OVERALL_DISCARD_XPATH[0]).__name__ == "XPath"
    assert sys.modules["trafilatura"] is trafilatura
    assert sys.modules["trafilatura._falconmix.xpaths"] is not trafilatura.xpaths


def test_another_version_is_called_plainly(monkeypatch):
    monkeypatch.setattr(trafilatura, "__version__", "2.3.0")
    extractor = Trafilatura()
    assert extractor._fast is None
    assert SENTENCE.strip() in extractor.extract(f"<html><body>{ARTICLE}</body></html>", "")
