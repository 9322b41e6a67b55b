import pyarrow as pa
import pytest

from stages.urls import (
    BlockList,
    UrlRules,
    UrlTables,
    UrlWords,
    builtin_words,
    compile_block_list,
    curated_sources,
    filter_urls,
)

WORDS = UrlWords(
    strict=("smut", "hard word"),
    strict_subwords=("vid hamster",),
    soft=("sex", "nude", "casino"),
    allowed=("sex education", "essex", "avid hamsters"),
)
TABLES = UrlTables(
    block_list=BlockList(compile_block_list([b"blocked.example\narxiv.org\nexample.org/blocked"])), words=WORDS
)


def verdict_on(url, rules=UrlRules(), tables=TABLES):  # noqa: B008 - frozen
    batch = pa.RecordBatch.from_pydict({"url": [url]})
    return filter_urls(batch, rules, tables).column("url_filter").to_pylist()[0]


@pytest.mark.parametrize(
    ("url", "rule", "value", "detail"),
    [
        ("http://a.blocked.example/", "blocked_domain", None, "blocked.example"),
        ("http://arxiv.org/abs/1", "blocked_domain", None, "arxiv.org"),
        ("http://example.org/blocked", "blocked_url", None, "example.org/blocked"),
        ("https://de.wikipedia.org/wiki/Text", "curated_source", None, "wikipedia.org"),
        ("http://example.org/Some-SMUT_here", "strict_word", 1, "smut"),
        ("http://example.org/sm%C3%BAt", "strict_word", 1, "smut"),
        ("http://example.org/a-hard_word?smut=1", "strict_word", 2, "hard word"),
        ("http://myvid-hamster.example/", "strict_word", 1, "vidhamster"),
        ("http://nude.example/a/sex", "soft_words", 2, "nude sex"),
    ],
)
def test_dropped_by_name(url, rule, value, detail):
    verdict = verdict_on(url)
    assert (verdict["rule"], verdict["value"], verdict["detail"]) == (rule, value, detail)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://example.org/smutty-hardwordy",
        "http://example.org/sex/sex/sex",
        "http://example.org/sex-education-without-nude",
        "http://essex.example/nude",
        "http://example.org/avid-hamsters",
        "http://notwikipedia.org/",
        "http://example.org/?next=http://en.wikipedia.org/",
    ],
)
def test_kept(url):
    assert verdict_on(url) is None


def test_each_table_can_be_left_out():
    assert verdict_on("http://blocked.example/smut", UrlRules(blocked=False))["rule"] == "strict_word"
    assert verdict_on("http://blocked.example/smut", UrlRules(blocked=False, words=False)) is None
    assert verdict_on("http://en.wikipedia.org/", UrlRules(curated=False)) is None
    assert verdict_on("http://example.org/sex", UrlRules(soft_hits=1))["value"] == 1


def test_rows_and_columns_are_kept():
    batch = pa.RecordBatch.from_pydict({"url": ["http://a.example/smut", "http://a.example/"], "n": [1, 2]})
    result = filter_urls(batch, UrlRules(), TABLES)
    assert result.schema.names == ["url", "n", "url_filter"]
    assert result.column("url_filter").is_null().to_pylist() == [False, True]


ORDINARY = [
    "https://www.essexcampus.ac.uk/courses/sex-education/naked-eye-astronomy",
    "https://food.example/recipes/coconut-cream-pie-with-hot-chicken",
    "https://www.scunthorpetelegraph.co.uk/news/cockermouth-moby-dick-reading",
    "https://video.example/youtube-80s-music/unisex-camping-shirts",
    "https://cars.example/ford-escort-mature-drivers-teen-titans",
    "https://sprechen.example/82-gruende-zum-weiter-hoeren",
    "https://kino.example/horor-filme-kurve-troie-libertin-gratis",
    "https://canal.example/canal-sexto-fourteen-sextants",
]


@pytest.mark.parametrize("url", ORDINARY)
def test_builtin_words_leave_ordinary_pages_alone(url):
    tables = UrlTables(block_list=BlockList(compile_block_list([])), words=builtin_words())
    assert verdict_on(url, tables=tables) is None


def test_builtin_words_find_what_they_are_for():
    tables = UrlTables(block_list=BlockList(compile_block_list([])), words=builtin_words())
    assert verdict_on("http://free-x-hamster.example/", tables=tables)["detail"] == "xhamster"
    assert verdict_on("http://example.org/xxx/1", tables=tables)["detail"] == "xxx"
    assert verdict_on("http://example.org/online-casino-poker", tables=tables)["rule"] == "soft_words"


def test_words_can_be_joined():
    both = UrlWords(strict=("a b",), allowed=()) | UrlWords(soft=("#comment", "c"), allowed=("d",))
    assert (both.strict, both.soft, both.allowed) == (("a b",), ("#comment", "c"), ("d",))


def test_curated_sources_are_bare_domains():
    assert {"wikipedia.org", "arxiv.org", "stackoverflow.com"} <= curated_sources()
    assert all("." in domain and "/" not in domain and domain == domain.lower() for domain in curated_sources())


def test_real_urls_are_rarely_words(shared_data):
    import json

    lines = (shared_data / "gold" / "pages.jsonl").read_text(encoding="utf-8").splitlines()
    batch = pa.RecordBatch.from_pydict({"url": [json.loads(line)["url"] for line in lines]})
    tables = UrlTables(block_list=BlockList(compile_block_list([])), words=builtin_words())
    verdicts = filter_urls(batch, UrlRules(curated=False), tables).column("url_filter").drop_null().to_pylist()
    assert [verdict["detail"] for verdict in verdicts] == []
