"""Line-wise corrections: lines that are page furniture go or lose it, and pages made of such lines are dropped.

RefinedWeb (arXiv 2306.01116, section 3.2 and appendix G.2). A line goes where it is mainly upper case, only numbers, a
counter ("3 likes") or a single word; a line of at most ten words that matches a pattern at its beginning ("sign-in"),
at its end ("Read more...") or anywhere ("items in cart") is edited. A page is dropped where the words in the lines so
flagged are more than 5 % of its words.

Lines are what "\\n" separates; words are runs of characters that are not white space. Lists by language:
`stages/data/line_patterns.yaml`. Beyond the paper's three places of a pattern there are two under which the line goes
(`whole`, `opening`), because a cut would leave a fragment; a line that a cut has left is judged again until no rule
applies, so correcting twice changes nothing more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.line_patterns import PHRASE_RULES, Cut, Keys, folding_tables, hinted, patterns_of
from stages.segment import LETTER, SPACE, WORD, CharTables, Utf8, char_tables, decode, utf8_of
from stages.verdicts import Verdict, with_verdicts

SHAPE_RULES = ("upper_case", "digits", "single_word")
RULES = (*SHAPE_RULES, *PHRASE_RULES)
"""Rules in the order in which they are tried; the first that applies to a line names it."""

_MAX_PHRASE_CHARS = 200  # ten words can be of any length; a button has fewer
_NUMBER_SIGNS = tuple(map(ord, ".,:;/'’()-–—"))
_WORDS, _CHARS, _LETTERS, _UPPER, _DIGITS, _OTHER = range(6)
_N_COUNTS = 6
_UNDERSCORE = ord("_")

Counts = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class LineRules:
    """Settings; the values without a note are the paper's.

    rules: which of `RULES` apply. max_upper_case_share: "mainly" upper case is a larger share of a line's letters; the
    paper gives no number, copies of it use 0.5 to 0.8. max_phrase_words: longest line that patterns may edit.
    max_flagged_share: pages where more of the words are flagged are dropped. flagged: whether an edited line counts
    with all its words (the paper: "the words in the flagged lines") or with those that it lost (DCLM's copy).
    """

    rules: tuple[str, ...] = RULES
    max_upper_case_share: float = 0.7
    max_phrase_words: int = 10
    max_flagged_share: float = 0.05
    flagged: Literal["lines", "removed"] = "lines"

    def __post_init__(self) -> None:
        for rule in self.rules:
            if rule not in RULES:
                raise ValueError(f"no line rule {rule!r}; the rules are {', '.join(RULES)}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Corrected:
    """Texts after correction, with what was done; every array has one entry per text.

    `lines`: lines dropped or edited, by rule. `n_words`: words before; `flagged_words`: those of them that count
    towards `LineRules.max_flagged_share`; `words_left`: words after. A null text stays null and counts nothing.
    """

    text: pa.Array
    lines: Mapping[str, Counts]
    n_words: Counts
    flagged_words: Counts
    words_left: Counts

    @property
    def flagged_share(self) -> NDArray[np.float64]:
        """Share of the words that is flagged; 0 for a text without words."""
        return self.flagged_words / np.maximum(self.n_words, 1)


def correct(text: pa.Array, language: pa.Array, rules: LineRules = LineRules()) -> Corrected:
    """Correct each text by the lists of its language (string arrays of equal length; ISO 639-1, may be null).

    A text in which no rule applies comes back byte for byte. A dropped line takes the blank lines after it along.
    Raises ValueError where the lengths differ.
    """
    if len(text) != len(language):
        raise ValueError(f"{len(text)} texts but {len(language)} languages; give one language per text")
    pieces = pc.split_pattern(text, "\n")
    n_lines = pc.fill_null(pc.list_value_length(pieces), 0).to_numpy(zero_copy_only=False)
    row_of_line = np.repeat(np.arange(len(text)), n_lines)
    fates = _judge(pieces.flatten(), language.take(pa.array(row_of_line)), rules)
    flagged = fates.n_words if rules.flagged == "lines" else fates.n_words - fates.words_left
    return Corrected(
        text=_rebuilt(text, fates, np.cumsum(n_lines) - n_lines, row_of_line),
        lines={rule: _per_row(row_of_line, fates.rule == RULES.index(rule), len(text)) for rule in rules.rules},
        n_words=_per_row(row_of_line, fates.n_words, len(text)),
        flagged_words=_per_row(row_of_line, np.where(fates.rule >= 0, flagged, 0), len(text)),
        words_left=_per_row(row_of_line, fates.words_left, len(text)),
    )


def filter_corrected(batch: pa.RecordBatch, corrected: Corrected, rules: LineRules) -> pa.RecordBatch:
    """Append `line_corrections`: rule `corrected_words` (value: share flagged), or `emptied` where no word is left."""
    shares, left = corrected.flagged_share, corrected.words_left
    verdicts: list[Verdict | None] = [None] * batch.num_rows
    for row in np.flatnonzero(left == 0).tolist():
        verdicts[row] = Verdict("emptied", 0, 1)
    for row in np.flatnonzero(shares > rules.max_flagged_share).tolist():
        verdicts[row] = Verdict("corrected_words", float(shares[row]), rules.max_flagged_share)
    return with_verdicts(batch, "line_corrections", verdicts)


def line_counts(lines: Mapping[str, Counts], language: pa.Array) -> dict[str, dict[str, int]]:
    """Sum lines dropped or edited, given by rule and text: by language ("" where null), then rule; what occurs."""
    counts: dict[str, dict[str, int]] = {}
    names = np.array([name or "" for name in language.to_pylist()], object)
    for name in sorted(set(names.tolist())):
        of_language = {rule: int(of_rule[names == name].sum()) for rule, of_rule in lines.items()}
        if any(of_language.values()):
            counts[name] = {rule: n for rule, n in of_language.items() if n}
    return counts


class _Fates(NamedTuple):
    """What becomes of lines. `rule`: index into `RULES`, -1 where none applies; `cut`: what is left of edited lines."""

    rule: NDArray[np.int64]
    n_words: Counts
    words_left: Counts
    cut: dict[int, str]


def _judge(lines: pa.Array, language: pa.Array, rules: LineRules) -> _Fates:
    """Judge each line by its own language's lists; what a cut leaves is judged again."""
    counts = _count(utf8_of(lines), char_tables())
    rule = _by_shape(counts, rules)
    cut: dict[int, str] = {}
    for line, found in _by_phrase(lines, language, counts, rule, rules):
        rule[line] = RULES.index(found.rule)
        if found.text is not None and any(map(str.isalnum, found.text)):
            cut[line] = found.text
    words_left = np.where(rule < 0, counts[:, _WORDS], 0)
    if cut:
        edited = np.fromiter(cut, np.int64)
        again = _judge(pa.array(cut.values(), pa.string()), language.take(pa.array(edited)), rules)
        words_left[edited] = again.words_left
        for k in np.flatnonzero(again.rule >= 0).tolist():
            del cut[int(edited[k])]
        cut |= {int(edited[k]): text for k, text in again.cut.items()}
    return _Fates(rule, counts[:, _WORDS], words_left, cut)


def _by_shape(counts: Counts, rules: LineRules) -> NDArray[np.int64]:
    """The first rule of `SHAPE_RULES` that applies to each line, -1 where none does."""
    letters, digits = counts[:, _LETTERS], counts[:, _DIGITS]
    applies = {
        "upper_case": counts[:, _UPPER] > rules.max_upper_case_share * letters,
        "digits": (digits > 0) & (letters == 0) & (counts[:, _OTHER] == 0),
        "single_word": (counts[:, _WORDS] == 1) & (letters + digits > 0),
    }
    rule = np.full(len(counts), -1, np.int64)
    for name in reversed([name for name in SHAPE_RULES if name in rules.rules]):
        rule[applies[name]] = RULES.index(name)
    return rule


def _by_phrase(
    lines: pa.Array, language: pa.Array, counts: Counts, rule: NDArray[np.int64], rules: LineRules
) -> Iterator[tuple[int, Cut]]:
    """Short lines without a rule that a phrase of their language matches, by language."""
    short = (rule < 0) & (counts[:, _WORDS] <= rules.max_phrase_words) & (counts[:, _CHARS] <= _MAX_PHRASE_CHARS)
    short &= counts[:, _LETTERS] > 0
    codes = language.dictionary_encode()
    code_of_line = codes.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    for code, name in [(-1, ""), *enumerate(codes.dictionary.to_pylist())]:
        patterns = patterns_of(name)
        of_language = np.flatnonzero(short & (code_of_line == code))
        hits = of_language[_hinted(utf8_of(lines), of_language, counts[:, _DIGITS], folding_tables(), patterns.keys)]
        for line, text in zip(hits.tolist(), lines.take(pa.array(hits)).to_pylist(), strict=True):
            if found := patterns.cut(text, rules.rules):
                yield line, found


def _rebuilt(text: pa.Array, fates: _Fates, first_line: Counts, row_of_line: Counts) -> pa.Array:
    """The texts with their lines dropped and edited; `first_line`: where each text's lines begin."""
    changes: dict[int, dict[int, str | None]] = {}
    for line in np.flatnonzero(fates.rule >= 0).tolist():
        row = int(row_of_line[line])
        changes.setdefault(row, {})[line - int(first_line[row])] = fates.cut.get(line)
    rows = pa.array(list(changes), pa.int64())
    texts = text.take(rows).to_pylist()
    new = [_joined(old.split("\n"), lines) for old, lines in zip(texts, changes.values(), strict=True)]
    changed = np.zeros(len(text), bool)
    changed[list(changes)] = True
    return pc.replace_with_mask(text, pa.array(changed), pa.array(new, text.type))


def _joined(lines: list[str], changes: Mapping[int, str | None]) -> str:
    kept: list[str] = []
    dropped = False
    for i, line in enumerate(lines):
        new = changes.get(i, line)
        dropped = new is None or (dropped and not line.strip())
        if new is not None and not dropped:
            kept.append(new)
    while dropped and kept and not kept[-1].strip():
        kept.pop()
    return "\n".join(kept)


def _per_row(row_of_line: Counts, amount: NDArray[np.int64] | NDArray[np.bool_], n_rows: int) -> Counts:
    return np.bincount(row_of_line, amount, n_rows).astype(np.int64)


@compiled
def _count(lines: Utf8, tables: CharTables) -> Counts:
    """Per line: words, characters, letters, upper-case letters, digits, signs that numbers are not written with."""
    n_lines = lines.offsets.size - 1
    counts = np.zeros((n_lines, _N_COUNTS), np.int64)
    for i in range(n_lines):
        start, end = lines.offsets[i], lines.offsets[i + 1]
        code_points = np.empty(end - start, np.uint32)
        n_chars = decode(lines.data, start, end, code_points)
        counts[i, _CHARS] = n_chars
        _count_line(code_points[:n_chars], tables, counts[i])
    return counts


@compiled
def _count_line(code_points: NDArray[np.uint32], tables: CharTables, row: Counts) -> None:
    after_space = True
    for code in code_points:
        kind = tables.classes[code]
        space = kind & SPACE != 0
        row[_WORDS] += after_space and not space
        after_space = space
        if kind & LETTER:
            row[_LETTERS] += 1
            row[_UPPER] += tables.lower[code] != code
        elif kind & WORD and code != _UNDERSCORE:
            row[_DIGITS] += 1
        elif not space and code not in _NUMBER_SIGNS:
            row[_OTHER] += 1


@compiled
def _hinted(lines: Utf8, chosen: Counts, n_digits: Counts, tables: CharTables, keys: Keys) -> NDArray[np.bool_]:
    """For each of the `chosen` lines, whether it may hold a phrase; a counter needs a digit."""
    found = np.zeros(chosen.size, np.bool_)
    for k in range(chosen.size):
        line = chosen[k]
        start, end = lines.offsets[line], lines.offsets[line + 1]
        code_points = np.empty(end - start, np.uint32)
        n_chars = decode(lines.data, start, end, code_points)
        phrase, unit = hinted(code_points[:n_chars], tables, keys)
        found[k] = phrase or (unit and n_digits[line] > 0)
    return found
