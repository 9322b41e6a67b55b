import json
import re
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from stages.language import ELEVEN
from stages.line_patterns import PHRASE_RULES, folding_tables, patterns_of
from stages.lines import RULES, Corrected, LineRules, correct, filter_corrected, line_counts
from stages.schema import VERDICT
from stages.segment import char_tables

PROSE = "It was a bright cold day in April, and the clocks of the town were striking thirteen."


def run(text: str | None, language: str | None = "en", rules: LineRules | None = None) -> Corrected:
    return correct(pa.array([text], pa.string()), pa.array([language], pa.string()), rules or LineRules())


def corrected(line: str, language: str | None = "en") -> tuple[str | None, str | None]:
    """What becomes of a line between two lines of prose, and the rule that did it."""
    result = run(f"{PROSE}\n{line}\n{PROSE}", language)
    kept = result.text[0].as_py().split("\n")
    rules = [rule for rule, lines in result.lines.items() if lines[0]]
    assert kept[0] == kept[-1] == PROSE
    return "\n".join(kept[1:-1]) if len(kept) > 2 else None, rules[0] if rules else None


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("WHO IS THE FRONT-RUNNER?", "upper_case"),
        ("Quelle: MDR FERNSEHEN THÜRINGEN", "upper_case"),
        ("2015-04-08 12:46", "digits"),
        ("1 234 – 5,678", "digits"),
        ("Ingredients", "single_word"),
        ("\t3/5.", "digits"),
        ("https://example.org/x?y=1", "single_word"),
        ("3 likes", "counter"),
        ("1,204 Views · 12 comments", "counter"),
        ("2.1K shares", "counter"),
        ("Comments (0)", "counter"),
        ("Likes: 12", "counter"),
        ("Read more »", "whole"),
        ("- Related Articles:", "whole"),
        ("Show all 50", "whole"),
        ("Share on Facebook", "opening"),
        ("Follow us on Twitter and Instagram for more", "opening"),
        ("Sign-in", "single_word"),
        ("Sign in", "start"),
        ("0 items in cart", "anywhere"),
    ],
)
def test_furniture_goes(line: str, rule: str) -> None:
    assert corrected(line) == (None, rule)


@pytest.mark.parametrize(
    ("line", "left", "rule"),
    [
        ("Sign in | The Daily Planet", "The Daily Planet", "start"),
        ("The minister has resigned. Read more...", "The minister has resigned.", "end"),
        ("The minister has resigned Read more", "The minister has resigned", "end"),
        ("The minister has resigned [READ MORE]", "The minister has resigned", "end"),
        ("A lamp – 3 items in cart – is", "A lamp is", "anywhere"),
        ("Sign in | The minister has resigned. Read more", "The minister has resigned.", "start"),
    ],
)
def test_the_phrase_is_cut_and_the_rest_stays(line: str, left: str, rule: str) -> None:
    assert corrected(line)[0] == left
    assert corrected(line)[1] == rule


@pytest.mark.parametrize(
    "line",
    [
        PROSE,
        "Why you should read more",
        "Sign in sheets are on the table",
        "Share prices fell on Monday",
        "They likes 3 of them",
        "He has 3 likes and a dog",
        "Reply to me: 42 of us came",
        "Remember me!",
        "Click to read more about the plan of the government in the capital",
        "The BBC and NATO said so",
        "| Paris | 2,100,000 |",
        "1 + 2 = 3",
        "***",
        "}",
        "- salt",
        "",
    ],
)
def test_prose_stays(line: str) -> None:
    assert corrected(line) == (line, None)


@pytest.mark.parametrize(
    ("language", "counter", "whole", "end", "cart"),
    [
        ("cs", "3 komentáře", "Související články", "Vláda padla. Číst dále", "2 položky v košíku"),
        (
            "de",
            "12 Kommentare",
            "Ähnliche Beiträge",
            "Die Regierung ist gestürzt. Weiterlesen",
            "2 Artikel im Warenkorb",
        ),
        ("es", "7 comentarios", "Artículos relacionados", "Cayó el gobierno. Leer más", "2 artículos en el carrito"),
        (
            "fr",
            "7 commentaires",
            "Articles similaires",
            "Le gouvernement est tombé. Lire la suite",
            "2 articles dans le panier",
        ),
        (
            "it",
            "7 commenti",
            "Articoli correlati",
            "È caduto il governo. Continua a leggere",
            "2 articoli nel carrello",
        ),
        (
            "nl",
            "7 reacties",
            "Gerelateerde artikelen",
            "De regering is gevallen. Lees verder",
            "2 artikelen in winkelwagen",
        ),
        ("pl", "7 komentarzy", "Podobne artykuły", "Rząd upadł. Czytaj więcej", "2 produkty w koszyku"),
        ("pt", "7 comentários", "Artigos relacionados", "Caiu o governo. Leia mais", "2 itens no carrinho"),
        ("ro", "7 comentarii", "Articole similare", "A căzut guvernul. Citește mai mult", "2 produse în coș"),
        ("sv", "7 kommentarer", "Relaterade artiklar", "Regeringen har fallit. Läs mer", "2 varor i varukorgen"),
    ],
)
def test_each_language_has_its_own_phrases(language: str, counter: str, whole: str, end: str, cart: str) -> None:
    assert corrected(counter, language) == (None, "counter")
    assert corrected(whole, language) == (None, "whole")
    assert corrected(end, language) == (end[: end.index(".") + 1], "end")
    assert corrected(cart, language) == (None, "anywhere")
    assert corrected("Read more", language) == (None, "whole")
    assert corrected(whole, "en") == (whole, None)


@pytest.mark.parametrize("line", ["Citeste mai mult", "Citeşte mai mult", "CITEȘTE mai mult"])
def test_romanian_is_known_without_diacritics_and_with_cedillas(line: str) -> None:
    assert corrected(line, "ro")[0] is None


@pytest.mark.parametrize("language", [None, "ja", ""])
def test_other_languages_have_the_english_phrases(language: str | None) -> None:
    assert corrected("Read more", language) == (None, "whole")
    assert corrected("Czytaj więcej", language) == ("Czytaj więcej", None)


def test_the_line_is_mainly_upper_case_above_the_setting() -> None:
    line = "ABC def"  # half of the letters
    text = f"{PROSE}\n{line}"
    assert run(text, rules=LineRules(max_upper_case_share=0.5)).text[0].as_py() == text
    assert run(text, rules=LineRules(max_upper_case_share=0.49)).text[0].as_py() == PROSE


def test_a_pattern_applies_up_to_ten_words() -> None:
    ten, eleven = (
        "one two three four five six seven eight. Read more",
        "one two three four five six seven eight nine. Read more",
    )
    assert corrected(ten)[1] == "end"
    assert corrected(eleven) == (eleven, None)


def test_a_dropped_line_takes_the_blank_lines_after_it_along() -> None:
    assert run(f"{PROSE}\n\nMENU\n\n{PROSE}").text[0].as_py() == f"{PROSE}\n\n{PROSE}"
    assert run(f"MENU\n\n{PROSE}\n\nMENU").text[0].as_py() == PROSE


def test_words_are_counted_before_after_and_between() -> None:
    text = f"{PROSE}\nMENU\nThe minister has resigned. Read more"
    result = run(text)
    n = len(PROSE.split())
    assert (result.n_words[0], result.flagged_words[0], result.words_left[0]) == (n + 7, 7, n + 4)
    assert run(text, rules=LineRules(flagged="removed")).flagged_words[0] == 3
    assert {rule: int(lines[0]) for rule, lines in result.lines.items() if lines[0]} == {"upper_case": 1, "end": 1}


def test_lines_are_counted_by_language_and_rule() -> None:
    text = pa.array(["MENU\nRead more", "Weiterlesen bitte\n3 Kommentare", "MENU", None, PROSE])
    language = pa.array(["en", "de", None, "de", "pl"])
    counts = line_counts(correct(text, language).lines, language)
    assert counts == {"": {"upper_case": 1}, "de": {"counter": 1}, "en": {"upper_case": 1, "whole": 1}}


def test_rules_can_be_left_out() -> None:
    rules = LineRules(rules=("digits",))
    assert run("MENU\n12\nRead more", rules=rules).text[0].as_py() == "MENU\nRead more"
    with pytest.raises(ValueError, match="no line rule 'digit'; the rules are upper_case, digits"):
        LineRules(rules=("digit",))


def test_a_page_goes_with_more_than_a_twentieth_of_its_words_flagged() -> None:
    twenty = " ".join(["word"] * 19)
    texts = pa.array([f"{twenty}\nMENU", f"{twenty}\nMENU\n12", "MENU", "", None, PROSE])
    batch = pa.record_batch({"text": texts, "language": pa.array(["en"] * 6)})
    result = correct(texts, batch.column("language"))
    column = filter_corrected(batch, result, LineRules()).column("line_corrections")
    assert column.type == VERDICT
    assert [v and (v["rule"], v["value"], v["threshold"]) for v in column.to_pylist()] == [
        None,
        ("corrected_words", 2 / 21, 0.05),
        ("corrected_words", 1.0, 0.05),
        ("emptied", 0.0, 1.0),
        ("emptied", 0.0, 1.0),
        None,
    ]
    lenient = LineRules(max_flagged_share=1)
    column = filter_corrected(batch, correct(texts, batch.column("language"), lenient), lenient).column(
        "line_corrections"
    )
    assert [v and v["rule"] for v in column.to_pylist()] == [None, None, "emptied", "emptied", "emptied", None]


def test_batches_of_any_shape() -> None:
    assert correct(pa.array([], pa.string()), pa.array([], pa.string())).text.equals(pa.array([], pa.string()))
    large = correct(pa.array(["MENU\n" + PROSE], pa.large_string()), pa.array(["en"])).text
    assert large.equals(pa.array([PROSE], pa.large_string()))
    sliced = pa.array(["x", None, f"MENU\n{PROSE}", PROSE])[1:]
    assert correct(sliced, pa.array(["de", None, "en", "en"])[1:]).text.to_pylist() == [None, PROSE, PROSE]
    with pytest.raises(ValueError, match="1 texts but 2 languages"):
        correct(pa.array(["a"]), pa.array(["en", "en"]))


def _phrases() -> dict[str, dict[str, list[str]]]:
    path = Path(__file__).parents[2] / "stages" / "data" / "line_patterns.yaml"
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _example(kind: str, phrase: str) -> str:
    phrase = phrase.replace("<n>", "12").replace("<site>", "Facebook")
    return f"12 {phrase}" if kind == "counters" else phrase


@pytest.mark.parametrize("language", ELEVEN)
def test_every_phrase_of_the_data_is_found(language: str) -> None:
    lists = _phrases()[language]
    assert set(lists) == {"counters", *PHRASE_RULES} - {"counter"}
    for kind, phrases in lists.items():
        assert len(phrases) == len(set(phrases))
        for example in (_example(kind, phrase) for phrase in phrases):
            for line in (example, example.capitalize(), f"• {example} »"):
                assert corrected(line, language)[0] is None, (kind, line)


def test_words_are_compared_without_case_and_diacritics() -> None:
    plain, folded = char_tables().lower, folding_tables().lower
    changed = {chr(i): chr(folded[i]) for i in np.flatnonzero(plain != folded)}
    assert changed | {"Ș": "s", "ş": "s", "Ł": "l", "é": "e", "Ü": "u"} == changed
    bare = {char: unicodedata.normalize("NFD", char.lower())[0].replace("ł", "l") for char in changed if char.isalpha()}
    assert {char: changed[char] for char in bare} == bare


FRAGMENTS = st.sampled_from(
    [
        PROSE,
        "MENU",
        "12",
        "3 likes",
        "Read more",
        "Sign in | ",
        "items in cart",
        "Weiterlesen",
        "ß",
        "İ",
        "\u2028",
        "|",
        " ",
        "",
    ]
)
LINES = st.lists(FRAGMENTS | st.text(max_size=12), max_size=5).map("".join)
TEXTS = st.lists(LINES, max_size=8).map("\n".join)
LANGUAGES = st.sampled_from([*ELEVEN, "ja", None])


@given(st.lists(st.tuples(st.none() | TEXTS, LANGUAGES), max_size=4))
def test_correcting_twice_changes_nothing_more(rows: list[tuple[str | None, str | None]]) -> None:
    text = pa.array([text for text, _ in rows], pa.string())
    language = pa.array([language for _, language in rows], pa.string())
    once = correct(text, language)
    twice = correct(once.text, language)
    assert twice.text.equals(once.text)
    assert not any(lines.any() for lines in twice.lines.values())
    assert (twice.n_words == once.words_left).all()
    for before, after, touched in zip(text.to_pylist(), once.text.to_pylist(), sum(once.lines.values()), strict=True):
        assert (before == after) == (not touched)
        assert (before is None) == (after is None)


@given(TEXTS, LANGUAGES)
def test_a_row_does_not_depend_on_its_batch(text: str, language: str | None) -> None:
    alone = run(text, language)
    both = correct(pa.array(["MENU", text]), pa.array(["de", language]))
    assert both.text[1].as_py() == alone.text[0].as_py()
    assert {rule: lines[1] for rule, lines in both.lines.items()} == {r: lines[0] for r, lines in alone.lines.items()}
    assert alone.n_words[0] == sum(len(line.split()) for line in text.split("\n"))
    assert alone.words_left[0] == sum(len(line.split()) for line in alone.text[0].as_py().split("\n"))


@given(st.text(), LANGUAGES)
def test_what_is_left_of_a_cut_is_of_the_line(line: str, language: str | None) -> None:
    cut = patterns_of(language or "").cut(line, RULES)
    if cut and cut.text is not None:
        assert len(cut.text) < len(line)


def test_clean_text_stays_in_every_language(shared_data: Path) -> None:
    """Of chapters of novels in pieces of 300 words at most 2 % are dropped, and no phrase is found in them."""
    for path in sorted((shared_data / "text").glob("*.jsonl")):
        pieces = []
        for row in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            words = list(re.finditer(r"\S+", row["text"]))
            pieces += [row["text"][a.start() : b.end()] for a, b in zip(words[::300], words[299::300], strict=False)]
        batch = pa.record_batch({"text": pieces, "language": [path.stem] * len(pieces)})
        result = correct(batch.column("text"), batch.column("language"))
        dropped = filter_corrected(batch, result, LineRules()).column("line_corrections")
        assert len(dropped) - dropped.null_count <= 0.02 * len(pieces), path.stem
        assert sum(int(result.lines[rule].sum()) for rule in PHRASE_RULES) == 0, path.stem
