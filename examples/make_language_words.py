"""Make `stages/data/language_words.txt`, the word lists behind the second opinion on a page's language.

    pip install wordfreq==3.1.1 spylls==0.1.7
    apt-get download libreoffice-help-gl gimp-help-nn hunspell-gl myspell-nn   # then `dpkg -x FILE DEBIAN` each
    python examples/make_language_words.py DEBIAN

wordfreq has no list for Galician and Norwegian Nynorsk. Theirs are put together from what they share with close
languages whose lists it has, by spelling rules and a dictionary of valid words, and from translated manuals, which
alone know how often function words occur. A manual's subject would skew the rest, so words that a close language shares
keep that language's frequency. It takes about two minutes.
"""

from __future__ import annotations

import argparse
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import wordfreq
from lxml import html
from spylls.hunspell import Dictionary

ROOT = Path(__file__).resolve().parent.parent
FROM_WORDFREQ = "ca cs da de en es fi fil fr hu id is it lt lv ms nb nl pl pt ro sh sk sl sv tr vi".split()  # noqa: SIM905
WORDS_PER_LANGUAGE = 2000
KIN_WORDS = 6000
FUNCTION_WORD = 5e-4
"""From this frequency on a word is taken for one that occurs in texts of any subject."""

ENGLISH = frozenset("the of to is and for with this you that are be on an".split())  # noqa: SIM905
WORD = re.compile(r"[^\W\d_]+")

HEAD = """\
# Commonest words of 29 languages written in Latin letters. Each line: language, frequency, words of that frequency; a
# frequency of 25 means 10^-2.5 of all words. Languages are named as in wordfreq: sh is Bosnian, Croatian and Serbian.
# Made by examples/make_language_words.py: the first 2,000 words each of wordfreq 3.1.1 (Speer 2022, data CC BY-SA 4.0);
# gl and nn from the lists of es, pt and nb, Galician and Nynorsk dictionaries, and the manuals of LibreOffice 7.4 (gl)
# and GIMP 2.10 (nn). This file is offered under CC BY-SA 4.0 (see NOTICE).
"""

# Portuguese spelling to Galician, where it differs by rule. Results are kept where the dictionary has them.
SPELLING = [
    (r"ções$", "cións"),
    (r"ção$", "ción"),
    (r"sões$", "sións"),
    (r"são$", "sión"),
    (r"ões$", "óns"),
    (r"ão$", "ón"),
    (r"ão$", "án"),
    (r"gens$", "xes"),
    (r"gem$", "xe"),
    (r"m$", "n"),
    (r"lh", "ll"),
    (r"nh", "ñ"),
    (r"ss", "s"),
    (r"j", "x"),
    (r"g(?=[eiéí])", "x"),
    (r"ç(?=[aou])", "z"),
    (r"ç", "c"),
    (r"z(?=[eiéí])", "c"),
    (r"qua", "ca"),
    (r"ê", "é"),
    (r"ê", "e"),
    (r"ô", "ó"),
    (r"â", "a"),
    (r"ável$", "able"),
    (r"ível$", "ible"),
    (r"([aei])ram$", r"\1ron"),
    (r"ia(m|n|s|)$", r"ía\1"),
    (r"ava", "aba"),
    (r"á(?=rio|ria)", "a"),
    (r"ó(?=ria|rio)", "o"),
]

Frequencies = Counter[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("debian", type=Path, help="folder with the unpacked packages")
    share = parser.parse_args().debian / "usr" / "share"
    lists = {language: from_wordfreq(language) for language in FROM_WORDFREQ}
    lists["gl"] = related(
        [(lists["pt"], galician_spellings), (lists["es"], lambda word: {word})],
        Dictionary.from_files(str(share / "hunspell" / "gl_ES")).lookup,
        manual(share / "libreoffice" / "help" / "gl"),
    )
    lists["nn"] = related(
        [(lists["nb"], lambda word: {word})],
        Dictionary.from_files(str(share / "hunspell" / "nn_NO")).lookup,
        manual(share / "gimp" / "2.0" / "help" / "nn"),
    )
    text = "".join(line for language in sorted(lists) for line in lines_of(language, lists[language]))
    (ROOT / "stages" / "data" / "language_words.txt").write_text(HEAD + text, encoding="utf-8")


def lines_of(language: str, frequencies: Frequencies) -> Iterator[str]:
    """Lines of the file for one language."""
    bins: dict[int, list[str]] = {}
    for word, frequency in frequencies.most_common(WORDS_PER_LANGUAGE):
        bins.setdefault(round(-10 * math.log10(frequency)), []).append(word)
    for tenths, words in sorted(bins.items()):
        yield f"{language} {tenths} {' '.join(sorted(words))}\n"


def from_wordfreq(language: str) -> Frequencies:
    """wordfreq's list of `language`, less entries that are not one run of letters."""
    bins = enumerate(wordfreq.get_frequency_list(language, "best"))
    return Counter({word: 10 ** (-bin / 100) for bin, words in bins for word in words if WORD.fullmatch(word)})


def manual(folder: Path) -> Counter[str]:
    """How often each word occurs in the paragraphs of a translated manual, less those still in English."""
    counts: Counter[str] = Counter()
    paragraphs = {
        " ".join("".join(element.itertext()).split())
        for path in folder.rglob("*.html")
        for element in html.fromstring(path.read_bytes()).iter("p", "li", "dd")
    }
    for paragraph in paragraphs:
        words = WORD.findall(paragraph.lower())
        if len(paragraph) >= 60 and len(words) > 6 and sum(word in ENGLISH for word in words) < len(words) / 10:
            counts.update(words)
    return counts


def related(
    kin: list[tuple[Frequencies, Callable[[str], set[str]]]], valid: Callable[[str], bool], counts: Counter[str]
) -> Frequencies:
    """Frequencies for a language that has no list, from its `kin` (each with spellings to try) and a manual."""
    shared: Frequencies = Counter()
    for frequencies, spellings in kin:
        for word, frequency in frequencies.most_common(KIN_WORDS):
            found = [spelling for spelling in spellings(word) if valid(spelling)]
            for spelling in found:
                shared[spelling] += frequency / len(found) / len(kin)
    n, result = counts.total(), Counter[str]()
    for word, frequency in shared.items():
        in_manual = counts[word] / n
        if max(frequency, in_manual) < FUNCTION_WORD:
            result[word] = frequency
        elif in_manual * 25 >= frequency:
            result[word] = math.sqrt(frequency * in_manual)
        elif in_manual:  # in the dictionary as part of a name ("la", "los"), and hardly ever met
            result[word] = in_manual
    for word, count in counts.items():
        if word not in shared and count >= 5 and valid(word):
            result[word] = count / n
    return result


def galician_spellings(portuguese: str) -> set[str]:
    """What a Portuguese word may look like in Galician."""
    spellings = {portuguese}
    for pattern, replacement in SPELLING:
        spellings |= {re.sub(pattern, replacement, word) for word in spellings}
    return spellings | _galician_words().get(portuguese, set())


def _galician_words() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for line in (ROOT / "examples" / "galician_words.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            portuguese, galician = line.split()
            found.setdefault(portuguese, set()).add(galician)
    return found


if __name__ == "__main__":
    main()
