"""The diffs offered to trafilatura apply to the version that we use, and change no result."""

import logging
import random
import shutil
import sys
from pathlib import Path

import pytest
import trafilatura
from lxml.html import HtmlElement

import upstream
from extraction import read_pages
from tests.stages.extraction.html_pages import SENTENCE

ARTICLE = f"<article>{f'<p>{SENTENCE}</p>' * 5}</article>"
OPTIONS = (
    {"favor_precision": True, "include_comments": False},
    {},
    {"favor_recall": True, "include_links": True, "output_format": "xml"},
    {"favor_precision": True, "include_links": True, "include_images": True, "output_format": "markdown"},
    {"include_comments": False, "include_tables": False, "target_language": "en"},
)
PIECES = (
    *("<xmp>", "<plaintext>", "<noembed><b>", "</div>", "<table><tr><td>", "<style>", "<svg><title></title></svg>"),
    "<iframe src='https://youtube.com/1'></iframe>" * 40,
    "<form><select><option>a</option></select><textarea>b</textarea><label>c <input value=d></label>",
    "<ul>" + "<li><a href='/x'>More of this</a></li>" * 9 + "</ul>",
    f"<div><div><a href='/y'>{SENTENCE}</a><p><a href='/z'>Read more</a></p></div></div>",
    f"<div class='a bottom' style='border: 1px'>{SENTENCE}</div><p id='nav' class='x'>{SENTENCE}</p>",
    f"<div class='comment' id='x'>{SENTENCE}</div><div id='comments'>{SENTENCE}</div>",
    *(f"<div><p>{SENTENCE}, {SENTENCE}</p></div>" * n for n in (1, 40)),
)


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    return upstream.copies(tmp_path_factory.mktemp("patched"))


@pytest.fixture(autouse=True)
def silent(caplog):
    caplog.set_level(logging.CRITICAL, "trafilatura")


def mutated(page, rng):
    """The page with a piece put in, the page without a stretch, and its beginning alone."""
    at, end = sorted(rng.choices(range(len(page) + 1), k=2))
    return page[:at] + rng.choice(PIECES) + page[at:], page[:at] + page[end:], page[:end]


def part(copies, number, name):
    """A module of the copy with that diff."""
    copy = next(copy for file, copy in copies.items() if file.startswith(number))
    return sys.modules[f"{copy.__name__}.{name}"]


def calls(monkeypatch, module, name, page):
    """How often the module's function is called while trafilatura extracts the page."""
    function, seen = getattr(module, name), []
    with monkeypatch.context() as patch:
        patch.setattr(module, name, lambda *given, **named: (seen.append(1), function(*given, **named))[1])
        sys.modules[module.__package__].extract(page, **OPTIONS[0])
    return len(seen)


def differing(copies, pages):
    """Each page is extracted with one set of options, by turns."""
    found = []
    for i, (page, url) in enumerate(pages):
        options = OPTIONS[i % len(OPTIONS)]
        wanted = trafilatura.extract(page, url=url, **options)
        found += [
            (name, url, options) for name, copy in copies.items() if copy.extract(page, url=url, **options) != wanted
        ]
    return found


def test_the_version_is_the_one_that_the_diffs_are_made_for():
    assert trafilatura.__version__ == upstream.VERSION, "make the diffs of docs/upstream anew"


def test_each_diff_names_the_lines_where_it_applies():
    sources = Path(trafilatura.__file__).parent.parent
    assert len(upstream.diffs()) >= 2
    for path in upstream.diffs():
        parts = list(upstream.hunks(path.read_text()))
        assert parts
        for hunk in parts:
            lines = (sources / hunk.path).read_text().splitlines(keepends=True)[hunk.start - 1 :]
            assert "".join(lines).startswith(hunk.old), f"{path.name}: {hunk.path}, line {hunk.start}"
            assert hunk.new != hunk.old


def test_a_diff_that_does_not_apply_says_so(tmp_path):
    for path in upstream.diffs():
        sources = tmp_path / path.stem
        shutil.copytree(Path(trafilatura.__file__).parent, sources / "trafilatura")
        upstream.apply(path.read_text(), sources)
        with pytest.raises(ValueError, match=r"does not apply to 2\.3\.1; make it anew"):
            upstream.apply(path.read_text(), sources)  # its old lines are gone


@pytest.mark.parametrize("diff", ["@@ -1,2 +1,2 @@\n a\n", "@@ -1,1 +1,1 @@\n-a\n", "@@ -1,2 +1,1 @@\n a\n\n b\n"])
def test_a_hunk_is_as_long_as_its_head_says(diff):
    with pytest.raises(ValueError, match="shorter than its head says"):
        list(upstream.hunks(diff))


def test_same_text_of_the_sample(copies, sample):
    pages = list(read_pages(sorted(sample.glob("*.warc.gz")), 5))
    assert len(pages) > 20
    assert differing(copies, pages) == []


def test_same_text_of_mutated_pages(copies, sample):
    rng = random.Random(20)
    pages = list(read_pages(sorted(sample.glob("*.warc.gz")), 12))
    assert differing(copies, [(page, url) for whole, url in pages for page in mutated(whole, rng)]) == []


def test_readability_runs_only_where_it_can_win(copies, monkeypatch):
    external = part(copies, "0001", "external")
    short, long = (f"<html><body>{ARTICLE}<div>{SENTENCE * n}</div></body></html>" for n in (1, 40))
    assert [calls(monkeypatch, trafilatura.external, "try_readability", page) for page in (short, long)] == [1, 1]
    assert [calls(monkeypatch, external, "try_readability", page) for page in (short, long)] == [0, 1]


def test_elements_are_of_one_class(copies):
    page = "<html><body><form><input><select></select></form><p>a</p></body></html>"
    assert {type(element) for element in part(copies, "0003", "utils").load_html(page).iter()} == {HtmlElement}


def test_stop_words_of_all_languages_keep_their_hash(copies):
    external = part(copies, "0004", "external")
    words = external.jt_stoplist_init()
    assert isinstance(words, frozenset)
    assert words == set(trafilatura.external.jt_stoplist_init())


@pytest.mark.slow
def test_same_text_of_all_real_pages(copies, shared_data):
    rng = random.Random(20)
    real = list(read_pages(sorted((shared_data / "warc").glob("*.warc.gz")), 1))
    assert len(real) > 1400
    together = {upstream.ALL: copies[upstream.ALL]}
    changed = [(page, url) for whole, url in real[::3] for page in mutated(whole, rng)]
    assert differing(together, real + changed) == []
