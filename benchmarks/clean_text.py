"""What each preset's rules do to clean text: the share of pieces that they drop, by language and rule.

    python benchmarks/clean_text.py --input texts/ --json

Reads JSON lines with `text` and `lang`, cut into pieces of 300 words, and lets the steps of every shipped recipe that
look at a text judge them: rules, cleaning, line-wise corrections. A rule is counted where it is the first to fire.
Every language that is there is judged, also by recipes that are not meant for it; these are marked "*". `words cut` is
what line rules take from the pieces that stay. Pieces begin and end inside a line, which pages do not: `--whole-lines`
makes them longer, up to the end of the line.
"""

from __future__ import annotations

import argparse
import glob
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline import recipe
from stages.decide import TextRules, decide
from stages.language import ELEVEN, LanguageRules
from stages.schema import PAGE
from stages.stop_words import load_stop_words

Figures = dict[str, Any]


def main() -> None:
    options = _options()
    pages = read(_files(options.input), options.chunk_words, options.whole_lines)
    if not pages.num_rows:
        raise SystemExit(
            f"{options.input}: no piece of {options.chunk_words} words in eleven languages; name JSON lines"
        )
    presets = {name: measure(pages, recipe.load(name)) for name in options.recipe or recipe.shipped()}
    for name, figures in presets.items():
        print_figures(name, figures)
    if options.json:
        print(json.dumps({"chunk_words": options.chunk_words, "whole_lines": options.whole_lines, "presets": presets}))


def read(files: list[Path], chunk_words: int, whole_lines: bool = False) -> pa.RecordBatch:
    """All pieces, as pages that were extracted from nowhere and not judged yet."""
    cut = _whole_lines if whole_lines else _pieces
    rows = [json.loads(line) for path in files for line in path.read_bytes().splitlines()]
    pieces = [(piece, row["lang"]) for row in rows if row["lang"] in ELEVEN for piece in cut(row["text"], chunk_words)]
    text, language = [text for text, _ in pieces], [language for _, language in pieces]
    given = {"text": pa.array(text, pa.string()), "language": pa.array(language, pa.string())}
    given["language_score"] = pa.array([1.0] * len(pieces), pa.float32())
    columns = [given.get(field.name, _blank(field, len(pieces))) for field in PAGE]
    return pa.RecordBatch.from_arrays(columns, schema=PAGE)


def _blank(field: pa.Field, n: int) -> pa.Array:
    """A column that no rule looks at."""
    if field.nullable:
        return pa.nulls(n, field.type)
    empty: object = [] if pa.types.is_list(field.type) else "" if pa.types.is_string(field.type) else 0
    return pa.array([empty] * n, field.type)


def _pieces(text: str, n_words: int) -> Iterator[str]:
    words = list(re.finditer(r"\S+", text))
    for first, last in zip(words[::n_words], words[n_words - 1 :: n_words], strict=False):
        yield text[first.start() : last.end()]


def _whole_lines(text: str, n_words: int) -> Iterator[str]:
    lines: list[str] = []
    for line in text.split("\n"):
        lines.append(line)
        if len(" ".join(lines).split()) >= n_words:
            yield "\n".join(lines)
            lines = []


def measure(pages: pa.RecordBatch, chosen: recipe.Recipe) -> Figures:
    """By language: pieces, dropped ones by `step:rule`, words before and after in those that stay."""
    rules = TextRules(
        language=LanguageRules(languages=ELEVEN, min_score=0),
        stop_words=load_stop_words(chosen.stop_words),
        **chosen.rule_sets,
        c4=chosen.c4,
        lines=chosen.lines,
    )
    by_language: dict[str, Figures] = {}
    for row in decide(pages, rules).pages.to_pylist():
        counts = by_language.setdefault(row["language"], {"pieces": 0, "rules": Counter(), "words": 0, "words_left": 0})
        counts["pieces"] += 1
        if row["verdict"]:
            counts["rules"][f"{row['verdict_stage']}:{row['verdict']['rule']}"] += 1
        else:
            counts["words"] += row["n_words"]
            counts["words_left"] += len(row["corrected"].split())
    for language, counts in by_language.items():
        counts["dropped_share"] = counts["rules"].total() / counts["pieces"]
        counts["words_cut_share"] = 1 - counts["words_left"] / max(counts["words"], 1)
        counts["in_recipe"] = language in chosen.languages
    return {language: by_language[language] for language in ELEVEN if language in by_language}


def print_figures(name: str, figures: Figures) -> None:
    """A table: one row per language."""
    print(f"\n{name}\n{'':5}{'pieces':>8}{'dropped':>9}{'words cut':>11}  by rule")
    for language, counts in figures.items():
        rules = ", ".join(f"{rule} {n}" for rule, n in counts["rules"].most_common())
        mark = "" if counts["in_recipe"] else "*"
        row = f"{language + mark:5}{counts['pieces']:8,}{counts['dropped_share']:9.2%}"
        print(f"{row}{counts['words_cut_share']:11.2%}  {rules}")


def _files(pattern: str) -> list[Path]:
    """A file, the JSON lines below a folder, or what a glob finds."""
    path = Path(pattern)
    if path.is_dir():
        return sorted(path.rglob("*.jsonl"))
    files = sorted(map(Path, glob.glob(pattern, recursive=True)))  # noqa: PTH207 - the pattern may be absolute
    if not files:
        raise SystemExit(f"{pattern}: no such file")
    return files


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="a file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--recipe", nargs="+", help="recipes to measure; default: those that ship")
    parser.add_argument("--chunk-words", type=int, default=300, help="words of a piece")
    parser.add_argument("--whole-lines", action="store_true", help="end each piece with the line that fills it")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
