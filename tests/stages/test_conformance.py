"""Each rule against datatrove's own: the value that its filter holds against a threshold, on the same words.

Datatrove's filters return a decision, not a value. A `Probe` in a threshold's place writes down what it is compared
with and lets every text pass, so that one call gives all values. Its words come from spaCy or NLTK; here they are ours,
split at white space, and its sentences those of `stages.c4`. `docs/conformance.md` lists what differs, and why.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import yaml
from datatrove.data import Document
from datatrove.pipeline.filters import c4_filters, fineweb_quality_filter, gopher_quality_filter
from datatrove.pipeline.filters import gopher_repetition_filter as repetition
from datatrove.pipeline.filters.url_filter import URLFilter
from datatrove.pipeline.formatters.pii import PIIFormatter
from datatrove.utils.text import PUNCTUATION_SET, TERMINAL_PUNCTUATION
from warcio.archiveiterator import ArchiveIterator

from stages.c4 import C4Rules, clean, sentences
from stages.charset import decode
from stages.extract import Trafilatura
from stages.language import ELEVEN
from stages.pii import PiiRules, mask
from stages.rules import apply_rules, load_rules
from stages.segment import BULLETS, sentence_marks
from stages.signals import add_signals, compute
from stages.stop_words import StopWords, load_stop_words
from stages.urls import BlockList, UrlRules, UrlTables, UrlWords, compile_block_list, domain_of, filter_urls

TOLERANCE = 1e-9
EVERY = 5  # of the pages, for the time that extraction takes
MAX_CHARS = 5000  # of chapters and marked texts, for the time that datatrove takes
GOPHER_STOP_WORDS = gopher_quality_filter.STOP_WORDS
STOP_WORDS = StopWords.from_lists({"en": GOPHER_STOP_WORDS})

AUTHORED = [
    "The mill stood idle.\nThe mill stood idle.\n\nWho would have thought it? The mill stood idle.",
    "- bread\n- butter\n• salt\n\n- bread",
    "One line that has no end\nand one that has more…\nand a third, of more than thirty characters...\nfour #tag # ...",
    "a b c d e f g h i j k l a b c d e f g h i j k l a b c d e f g h i j k l\na b c d e f g h i j k l",
    "Příliš žluťoučký kůň úpěl. Příliš žluťoučký kůň úpěl.\n\nPříliš žluťoučký kůň úpěl.\n\nKdo? 日本。",
    "to be or not to be , that is -- the question !\n1 2 3 4 5",
    "Words [1] and notes [edit] here.\nPlease turn on JavaScript to read on.\nToo short.\nWe use cookies on this page.",
    "The first line of it. The second: two! A third? A fourth. And a fifth.\nfunction () { return 1 }",
    "Lorem ipsum dolor sit amet, consectetur.",
]


class Probe:
    """A threshold that takes down the values it is compared with; no comparison ever holds."""

    __array_ufunc__ = None  # numpy leaves comparisons to this class

    def __init__(self) -> None:
        self.values: list[float] = []

    def __gt__(self, value: float) -> bool:
        return self._met(value)

    def __lt__(self, value: float) -> bool:
        return self._met(value)

    def _met(self, value: float) -> bool:
        self.values.append(float(value))
        return False


class Probes:
    """Probes by name; `met` gives what each was compared with since it was last asked, None where nothing was."""

    def __init__(self, *names: str) -> None:
        self._probes = {name: Probe() for name in names}

    def __getitem__(self, name: str) -> Any:
        return self._probes[name]

    def met(self) -> dict[str, float | None]:
        """The values by name."""
        found = {name: probe.values[-1] if probe.values else None for name, probe in self._probes.items()}
        for probe in self._probes.values():
            probe.values.clear()
        return found


@pytest.fixture(scope="module", autouse=True)
def same_words() -> Iterator[None]:
    """Give datatrove's filters our words and sentences."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (repetition, gopher_quality_filter, fineweb_quality_filter):
            patch.setattr(module, "split_into_words", lambda text, language: text.split())
        patch.setattr(c4_filters, "split_into_sentences", lambda text, language: sentences(text))
        yield


@pytest.fixture(scope="module")
def real_texts(shared_data: Path) -> list[str]:
    """Chapters of novels, texts of pages as people marked them, and texts of pages as they are extracted."""
    paths = [*sorted((shared_data / "text").glob("*.jsonl")), shared_data / "gold" / "pages.jsonl"]
    rows = [json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    marked = [text for row in rows if (text := row.get("text") or row.get("gold"))]
    extracted = list(_extracted(shared_data))
    assert len(marked) > 1000
    assert len(extracted) > 200
    return [text for text in (*(text[:MAX_CHARS] for text in marked), *extracted) if text.strip()]


def _extracted(shared_data: Path) -> Iterator[str]:
    extractor = Trafilatura()
    for path in sorted((shared_data / "warc").glob("*.warc.gz")):
        with path.open("rb") as stream:
            responses = (record for record in ArchiveIterator(stream) if record.rec_type == "response")
            for i, record in enumerate(responses):
                if i % EVERY == 0 and "html" in record.http_headers.get_header("Content-Type", ""):
                    html = decode(record.content_stream().read(), "").text
                    yield extractor.extract(html, record.rec_headers.get_header("WARC-Target-URI"))


def tidied(text: str) -> str:
    """Without white space at the ends of lines and of the text, and without lines of white space alone."""
    return re.sub(r"\n{3,}", "\n\n", "\n".join(" ".join(line.split()) for line in text.splitlines())).strip()


def without_blank_lines(text: str) -> str:
    return re.sub(r"\n+", "\n", tidied(text))


def ours(text: str) -> dict[str, float]:
    (signals,) = all_ours([text])
    return signals


def all_ours(texts: list[str]) -> list[dict[str, float]]:
    return pa.table(compute(pa.array(texts), pa.array(["en"] * len(texts)), STOP_WORDS)).to_pylist()


def agree(texts: list[str], theirs: Callable[[str], dict[str, float | None]]) -> None:
    """Hold every value that datatrove computed against the signal of that name."""
    n_values = 0
    for text, signals in zip(texts, all_ours(texts), strict=True):
        for name, value in theirs(text).items():
            if value is not None:
                assert signals[name] == pytest.approx(value, abs=TOLERANCE), (name, text[:200])
                n_values += 1
    assert n_values >= len(texts)


# Gopher's repetition rules


REPETITION = Probes(
    *("dup_line_share", "dup_line_char_share", "dup_par_share", "dup_par_char_share"),
    *(f"top_{n}gram_char_share" for n in (2, 3, 4)),
    *(f"dup_{n}gram_char_share" for n in range(5, 11)),
)


def their_repetition(text: str) -> dict[str, float | None]:
    repetition.GopherRepetitionFilter(
        dup_line_frac=REPETITION["dup_line_share"],
        dup_line_char_frac=REPETITION["dup_line_char_share"],
        dup_para_frac=REPETITION["dup_par_share"],
        dup_para_char_frac=REPETITION["dup_par_char_share"],
        top_n_grams=tuple((n, REPETITION[f"top_{n}gram_char_share"]) for n in (2, 3, 4)),
        dup_n_grams=tuple((n, REPETITION[f"dup_{n}gram_char_share"]) for n in range(5, 11)),
    ).filter(Document(text=text, id="0"))
    return REPETITION.met()


def test_repetition() -> None:
    agree([tidied(text) for text in AUTHORED], their_repetition)


def test_repetition_on_real_texts(real_texts: list[str]) -> None:
    agree([tidied(text) for text in real_texts], their_repetition)


def test_empty_lines_and_paragraphs_are_none_of_ours() -> None:
    text = "\nx\n\n \n\n \ny\n"
    assert ours(text)["n_lines"] == 2
    assert (ours(text)["dup_line_share"], ours(text)["dup_par_share"]) == (0, 0)
    theirs = their_repetition(text)
    assert theirs["dup_line_share"] == 2 / 6  # "", "x", " ", " ", "y", "": an empty and a blank one again
    assert theirs["dup_par_share"] == 0


def test_ngrams_are_words_and_not_their_letters_in_a_row() -> None:
    text = "a bc d e f ab c d e f"
    assert ours(text)["dup_5gram_char_share"] == 0
    assert their_repetition(text)["dup_5gram_char_share"] == 6 / len(text)


# Gopher's quality rules


QUALITY_NAMES = ("n_words", "mean_word_length", "hash_word_ratio", "bullet_line_share", "ellipsis_line_share")
QUALITY = Probes(*QUALITY_NAMES, "alpha_word_share", "n_stop_words", "max_words", "max_length")


def their_quality(text: str) -> dict[str, float | None]:
    gopher_quality_filter.GopherQualityFilter(
        min_doc_words=QUALITY["n_words"],
        max_doc_words=QUALITY["max_words"],
        min_avg_word_length=QUALITY["mean_word_length"],
        max_avg_word_length=QUALITY["max_length"],
        max_symbol_word_ratio=QUALITY["hash_word_ratio"],
        max_bullet_lines_ratio=QUALITY["bullet_line_share"],
        max_ellipsis_lines_ratio=QUALITY["ellipsis_line_share"],
        max_non_alpha_words_ratio=QUALITY["alpha_word_share"],
        min_stop_words=QUALITY["n_stop_words"],
    ).filter(Document(text=text, id="0"))
    hashes, ellipses = QUALITY["hash_word_ratio"].values  # one threshold for both
    values = QUALITY.met()
    assert (values.pop("max_words"), values.pop("max_length")) == (values["n_words"], values["mean_word_length"])
    return values | {"hash_word_ratio": hashes, "ellipsis_word_ratio": ellipses}


def only(*names: str) -> Callable[[str], dict[str, float | None]]:
    return lambda text: {name: value for name, value in their_quality(text).items() if name in names}


def without_lone_punctuation(text: str) -> str:
    words = (word for word in text.split() if not set(word) <= PUNCTUATION_SET)
    return " ".join(words)


def with_their_bullets(text: str) -> str:
    """Lines that begin with a bullet of ours that is none of theirs begin with theirs."""
    lines = without_blank_lines(text).split("\n")
    return "\n".join("-" + line[1:] if line[:1] in BULLETS else line for line in lines)


def bare_words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


ASPECTS: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "signs_and_letters": (str, ("hash_word_ratio", "ellipsis_word_ratio", "alpha_word_share")),
    "words": (without_lone_punctuation, ("n_words", "mean_word_length")),
    "lines": (with_their_bullets, ("bullet_line_share", "ellipsis_line_share")),
    "stop_words": (bare_words, ("n_stop_words",)),
}


@pytest.mark.parametrize("aspect", ASPECTS)
def test_quality(aspect: str) -> None:
    change, names = ASPECTS[aspect]
    agree([change(text) for text in AUTHORED], only(*names))


@pytest.mark.parametrize("aspect", ASPECTS)
def test_quality_on_real_texts(real_texts: list[str], aspect: str) -> None:
    change, names = ASPECTS[aspect]
    agree([change(text) for text in real_texts], only(*names))


def test_words_of_punctuation_are_words_of_ours() -> None:
    text = "to be -- or not"
    assert (ours(text)["n_words"], ours(text)["mean_word_length"]) == (5, 11 / 5)
    theirs = their_quality(text)
    assert (theirs["n_words"], theirs["mean_word_length"]) == (4, 9 / 4)


def test_bullets_are_of_several_kinds_and_blank_lines_are_none() -> None:
    text = "▪ salt\n* oil\n\n- bread"
    assert ours(text)["bullet_line_share"] == 1
    assert their_quality(text)["bullet_line_share"] == 1 / 4


def test_stop_words_are_found_at_the_start_of_a_sentence_and_before_a_comma() -> None:
    text = "The of, (that)"
    assert ours(text)["n_stop_words"] == 3
    assert their_quality(text)["n_stop_words"] == 0


# FineWeb's rules


FINEWEB_NAMES = ("punct_line_share", "short_line_share", "dup_line_text_share", "newline_word_ratio")
FINEWEB = Probes(*FINEWEB_NAMES)


def their_fineweb(text: str) -> dict[str, float | None]:
    fineweb_quality_filter.FineWebQualityFilter(
        line_punct_thr=FINEWEB["punct_line_share"],
        short_line_thr=FINEWEB["short_line_share"],
        char_duplicates_ratio=FINEWEB["dup_line_text_share"],
        new_line_ratio=FINEWEB["newline_word_ratio"],
    ).filter(Document(text=text, id="0"))
    return FINEWEB.met()


def test_fineweb() -> None:
    agree([*AUTHORED, *map(tidied, AUTHORED)], their_fineweb)


def test_fineweb_on_real_texts(real_texts: list[str]) -> None:
    agree([tidied(text) for text in real_texts], their_fineweb)


def test_white_space_after_a_mark_does_not_hide_it() -> None:
    assert ours("So it ended. \nOr not")["punct_line_share"] == 0.5
    assert their_fineweb("So it ended. \nOr not")["punct_line_share"] == 0


def test_sentence_marks_are_theirs() -> None:
    assert set(sentence_marks()) == TERMINAL_PUNCTUATION


# Whole filters, on texts as they are


def their_filter(rule_set: str, language: str) -> Any:
    if rule_set == "gopher_quality":
        return gopher_quality_filter.GopherQualityFilter(stop_words=stop_word_lists()[language])
    if rule_set == "fineweb":
        return fineweb_quality_filter.FineWebQualityFilter(char_duplicates_ratio=0.1)  # the paper's, not 0.01
    return repetition.GopherRepetitionFilter()


@cache
def stop_word_lists() -> dict[str, list[str]]:
    text = resources.files("stages").joinpath("data/stop_words.yaml").read_text(encoding="utf-8")
    return {language: words.split() for language, words in yaml.safe_load(text).items()}


@pytest.mark.parametrize("rule_set", ["gopher_repetition", "gopher_quality", "fineweb"])
def test_decisions_on_real_pages(rule_set: str, shared_data: Path) -> None:
    rows = map(json.loads, (shared_data / "gold" / "pages.jsonl").read_text(encoding="utf-8").splitlines())
    pages = [(row["gold"], row["lang"]) for row in rows if row.get("gold") and row.get("lang") in ELEVEN]
    texts, languages = map(list, zip(*pages, strict=True))
    rules = load_rules(rule_set)
    if rule_set == "gopher_quality":  # one threshold for every language, as there
        rules = rules.with_overrides({"ellipsis_lines": {"languages": dict.fromkeys(ELEVEN, 0.3)}})
    batch = add_signals(pa.record_batch({"text": texts, "language": languages}), load_stop_words())
    kept = apply_rules(batch, rules, "verdict").column("verdict").is_null().to_pylist()
    answers = [their_filter(rule_set, language).filter(Document(text=text, id="0")) for text, language in pages]
    assert len(pages) > 700
    assert kept == [answer is True for answer in answers]
    assert not all(kept)


# C4's cleaning

SETTINGS = {
    "as_c4": C4Rules(end_marks="".join(c4_filters.END_PUNCTUATION)),
    "as_fineweb": C4Rules(end_marks=None, min_words=3, min_sentences=5),
    "lines_alone": C4Rules(end_marks=None, min_words=3, min_sentences=1),
}


def their_cleaning(text: str, rules: C4Rules) -> tuple[str | None, str | None, float | None]:
    """The text left, or the rule that dropped it; and the number of sentences, where it came to that."""
    n_sentences = Probe()
    document = Document(text=text, id="0")
    answer = c4_filters.C4QualityFilter(
        filter_no_terminal_punct=rules.end_marks is not None,
        min_words_per_line=rules.min_words,
        max_word_length=rules.max_word_chars,
        min_num_sentences=n_sentences,
    ).filter(document)
    if answer is not True:
        return None, answer[1], None
    (count,) = n_sentences.values
    return (document.text, None, count) if count >= rules.min_sentences else (None, "too_few_sentences", count)


def cleaned_alike(texts: list[str], rules: C4Rules) -> None:
    ours_cleaned = clean(pa.array(texts), rules)
    for i, text in enumerate(texts):
        left, rule, n_sentences = their_cleaning(text, rules)
        verdict = ours_cleaned.verdicts[i]
        assert ours_cleaned.text[i].as_py() == left
        assert (verdict.rule if verdict else None) == rule
        if verdict and rule == "too_few_sentences":
            assert verdict.value == n_sentences
        if left is not None:
            assert sum(len(sentences(line)) for line in left.split("\n")) == n_sentences


@pytest.mark.parametrize("name", SETTINGS)
def test_cleaning(name: str) -> None:
    cleaned_alike([*AUTHORED, "\n".join(AUTHORED[:5]), "\n".join(AUTHORED[4:7])], SETTINGS[name])


@pytest.mark.parametrize("name", ["as_c4", "as_fineweb"])
def test_cleaning_on_real_texts(real_texts: list[str], name: str) -> None:
    cleaned_alike(real_texts, SETTINGS[name])


# Personal data


def test_masking_on_real_texts(real_texts: list[str]) -> None:
    """With one replacement each, where datatrove goes round a list."""
    rules = PiiRules()
    theirs = PIIFormatter(email_replacement=rules.email_replacement, ip_replacement=rules.ip_replacement)
    result = mask(pa.array(real_texts))
    differing = [
        (theirs.format(text), masked)
        for text, masked in zip(real_texts, result.text.to_pylist(), strict=True)
        if theirs.format(text) != masked
    ]
    assert int(result.n_emails.sum()) >= 5
    assert differing == []


# The URL stage

WORDS = {"strict": ("jackpot",), "strict_subwords": ("bluefilm",), "soft": ("poker", "bonus", "spin")}
BLOCKED = ("bluepictures.com", "bad.example.org")
URLS = {
    "http://bluepictures.com/": "domain",
    "https://www.bluepictures.com/a": "domain",
    "http://bad.example.org/x": "subdomain",
    "http://good.example.org/x": None,
    "http://example.net/listed": "url",
    "http://example.net/a-jackpot/": "hard_blacklisted",
    "http://example.net/jackpots/": None,
    "http://example.net/my-blue-films/": "blacklisted_subword",
    "http://example.net/poker": None,
    "http://example.net/poker?spin=1": "soft_blacklisted",
}
THEIR_NAMES = {
    "domain": "blocked_domain",
    "subdomain": "blocked_domain",
    "url": "blocked_url",
    "hard_blacklisted": "strict_word",
    "blacklisted_subword": "strict_word",
    "soft_blacklisted": "soft_words",
}


class _Automaton:
    """Stands in for pyahocorasick, which is not installed: which words a text holds."""

    def __init__(self, *_: object) -> None:
        self._words: list[str] = []

    def __len__(self) -> int:
        return len(self._words)

    def add_word(self, word: str, _: int) -> None:
        self._words.append(word)

    def make_automaton(self) -> None:
        """Nothing to be made ready."""

    def iter(self, text: str) -> Iterator[str]:
        return (word for word in self._words if word in text)


def _split_host(url: str) -> SimpleNamespace:
    """Stands in for tldextract, whose list of suffixes is downloaded; right for suffixes of one label."""
    domain = domain_of(url)
    return SimpleNamespace(fqdn=domain, registered_domain=".".join(domain.split(".")[-2:]))


@pytest.fixture(scope="module")
def their_urls() -> Callable[[str], str | None]:
    """Datatrove's answer about a URL: the name of its reason, None where it is kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "ahocorasick", SimpleNamespace(Automaton=_Automaton, STORE_INTS=0))
        patch.setitem(sys.modules, "tldextract", SimpleNamespace(TLDExtract=lambda: _split_host))
        patch.setattr(URLFilter, "_requires_dependencies", [])
        judge = URLFilter(
            use_integrated_lists=False,
            extra_domains=BLOCKED,
            extra_urls=["http://example.net/listed"],
            banned_words=WORDS["strict"],
            banned_subwords=WORDS["strict_subwords"],
            soft_banned_words=WORDS["soft"],
        )

    def answer(url: str) -> str | None:
        kept = judge.filter(Document(text="", id="0", metadata={"url": url}))
        return None if kept is True else str(kept[1])

    return answer


def our_urls(urls: Sequence[str]) -> list[str | None]:
    table = compile_block_list(["\n".join([*BLOCKED, "example.net/listed"]).encode()])
    tables = UrlTables(block_list=BlockList(table), words=UrlWords(**WORDS, allowed=()), curated=frozenset())
    batch = filter_urls(pa.record_batch({"url": list(urls)}), UrlRules(), tables)
    return [verdict and verdict["rule"] for verdict in batch.column("url_filter").to_pylist()]


def test_urls(their_urls: Callable[[str], str | None]) -> None:
    assert {url: their_urls(url) for url in URLS} == URLS
    assert our_urls(list(URLS)) == [name and THEIR_NAMES[name] for name in URLS.values()]


def test_urls_of_real_pages(their_urls: Callable[[str], str | None], shared_data: Path) -> None:
    rows = (shared_data / "gold" / "pages.jsonl").read_text(encoding="utf-8").splitlines()
    urls = [json.loads(row)["url"] for row in rows]
    assert our_urls(urls) == [THEIR_NAMES.get(their_urls(url) or "") for url in urls]


def test_urls_are_read_without_regard_to_case_and_escapes(their_urls: Callable[[str], str | None]) -> None:
    for url in ("http://example.net/Jackpot", "http://example.net/j%61ckpot", "https://EXAMPLE.net:443/listed"):
        assert their_urls(url) is None
        assert our_urls([url]) != [None]
