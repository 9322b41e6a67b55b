r"""LaTeX as text: headings as in markdown, formulas as they are, everything that only makes a page look nice gone.

pylatexenc reads the LaTeX and knows accents and signs; which commands and environments become what is data
(`data/latex.yaml`). A source that cannot be read as a whole is read section by section, and those that cannot are left
out.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pylatexenc.latex2text import LatexNodes2Text, get_default_latex_context_db
from pylatexenc.latexwalker import LatexWalker, LatexWalkerParseError
from pylatexenc.latexwalker import get_default_latex_context_db as get_walker_context_db
from pylatexenc.macrospec import EnvironmentSpec, MacroSpec

from mixtures.sources.latex_project import CODE, INLINE_CODE, LatexError
from mixtures.sources.latex_tables import latex_tables

_SECTION: Final = re.compile(r"(?=\\(?:part|chapter|(?:sub)*section)\*?\s*[\[{])")
_THEOREM: Final = re.compile(r"\\newtheorem\*?\s*\{(\w+)\}\s*(?:\[\w*\])?\s*\{([^{}\\]*)\}\s*(?:\[\w*\])?")
_BLOCK: Final = re.compile("\x04(\\d+)\x05")
_ITEM: Final = "- "
_PROSE: Final = re.compile(
    r"(?:(?<=\s)|\A)[A-Za-z](?:[A-Za-z0-9 ,.;:()/]|\n(?![ \t]*\n)){14,}(?<=[a-z0-9,.;:)])(?=\s|\Z)"
)
"""Runs that begin and end between words, and that LaTeX does not look into."""
_COMMAND: Final = re.compile(r"\\[A-Za-z]+\*?\s*\Z")
_MAX_COMMAND: Final = 60
_FIRST_RUN: Final = 0xF0000
_MAX_RUNS: Final = 0x1FFFE
_STANDS_FOR_RUN: Final = re.compile("[\U000f0000-\U0010ffff]")
"""Characters of private use; a source that has some itself is read as it is."""


@dataclass(frozen=True, kw_only=True)
class LatexText:
    """A text, and the number of its sections that could not be read."""

    text: str
    n_lost: int = 0


def theorem_names(source: str) -> tuple[str, dict[str, str]]:
    r"""The source without its `\newtheorem`s, and what they say."""
    return _THEOREM.sub("", source), {found[1]: found[2].strip() for found in _THEOREM.finditer(source)}


def latex_text(
    source: str, *, code: Iterable[str] = (), theorems: dict[str, str] | None = None, keep: Iterable[str] = ()
) -> LatexText:
    r"""The text of a LaTeX source without preamble.

    code: what `CODE` and `INLINE_CODE` stand for. theorems: names of environments besides the usual ones. keep:
    `references`, `citations`, `figures`, where these are wanted as LaTeX and as captions. Raises LatexError where no
    section can be read, or fewer than half.
    """
    renderer = _Renderer(list(code), theorems or {}, frozenset(keep))
    try:
        return LatexText(text=renderer.text(source))
    except _UNREADABLE:
        pass
    sections, texts = _SECTION.split(source), []
    for section in sections:
        try:
            texts.append(renderer.text(section))
        except _UNREADABLE:
            continue
    n_lost = len(sections) - len(texts)
    if 2 * n_lost > len(sections) or not any(texts):
        raise LatexError("LaTeX that cannot be read")
    return LatexText(text="\n\n".join(text for text in texts if text), n_lost=n_lost)


_UNREADABLE: Final = (LatexWalkerParseError, RecursionError, IndexError, ValueError, AttributeError)
"""What pylatexenc raises of LaTeX that is not well formed, or that it does not foresee."""


class _Renderer(LatexNodes2Text):  # type: ignore[misc]
    """Turns nodes into text, in which blocks that keep their line breaks have been set aside."""

    def __init__(self, code: list[str], theorems: dict[str, str], keep: frozenset[str]) -> None:
        super().__init__(latex_context=_text_context(), math_mode="verbatim", keep_comments=False)
        self._code, self._keep, self._tables = code, keep, latex_tables()
        self._named = {**self._tables.named, **theorems}
        self._blocks: list[str] = []

    def text(self, source: str) -> str:
        """The text of a source. Raises one of `_UNREADABLE`."""
        self._blocks = []
        short, runs = shortened(_skips().sub(" ", source))
        walker = LatexWalker(short, latex_context=_walker_context(), tolerant_parsing=False)
        nodes, _, _ = walker.get_latex_nodes()
        return _laid_out(self.nodelist_to_text(nodes), self._blocks, runs, self._code)

    def math_node_to_text(self, node: Any) -> str:
        """A formula, as it is but for what names it."""
        latex = re.sub(r"\s*\\label\s*\{[^{}]*\}", "", node.latex_verbatim())
        if hasattr(node, "environmentname"):
            return self._aside(re.sub(r"\n\s*\n", "\n", latex).strip())
        if node.displaytype == "display":
            return self._aside(f"$${' '.join(latex[2:-2].split())}$$")
        inner = " ".join(latex.strip("$").removeprefix("\\(").removesuffix("\\)").split())
        return f"${inner}$" if inner else ""

    def environment_node_to_text(self, node: Any) -> str:
        """An environment, by what the tables say of it."""
        name, tables = node.environmentname, self._tables
        if name.rstrip("*") in tables.math_environments:
            return self.math_node_to_text(node)
        if name in tables.dropped_environments:
            return ""
        if name in tables.figures:
            return self._captions(node) if "figures" in self._keep else ""
        inside = self.nodelist_to_text(node.nodelist)
        if name.rstrip("*") in self._named:
            addition = self._last(node).strip()
            called = f" ({addition})" if addition else ""
            return f"\n\n{self._named[name.rstrip('*')]}{called}. {inside.strip()}\n\n"
        return f"\n\n{inside}\n\n"

    def macro_node_to_text(self, node: Any) -> str:
        """A command, by what the tables say of it; others by what pylatexenc knows."""
        name, tables = node.macroname, self._tables
        if name in tables.headings:
            return f"\n\n{'#' * tables.headings[name]} {' '.join(self._last(node).split())}\n\n"
        if name in tables.dropped_macros or (name in tables.citations and "citations" not in self._keep):
            return ""
        if name in tables.citations or name in tables.references:
            kept = name in tables.citations or "references" in self._keep
            return str(node.latex_verbatim()) if kept else ""
        if name in tables.kept_macros:
            return self._last(node)
        if name in tables.signs:
            return tables.signs[name]
        if name == "item":
            label = self._last(node).strip()
            return f"\n\n{_ITEM}{label + ' ' if label else ''}"
        if name == "footnote":
            return f" ({self._last(node).strip()})"
        if name in ("\\", "newline", "par"):
            return "\n\n" if name == "par" else " "
        return str(super().macro_node_to_text(node))

    def _last(self, node: Any) -> str:
        given = [one for one in (node.nodeargd.argnlist if node.nodeargd else ()) or () if one is not None]
        return str(self._groupnodecontents_to_text(given[-1])) if given else ""

    def _captions(self, node: Any) -> str:
        found = [
            child for child in _nodes(node.nodelist) if getattr(child, "macroname", "") in ("caption", "captionof")
        ]
        return "".join(f"\n\n{self._last(caption).strip()}\n\n" for caption in found)

    def _aside(self, block: str) -> str:
        self._blocks.append(block)
        return f"\n\n\x04{len(self._blocks) - 1}\x05\n\n"


def _nodes(nodes: Iterable[Any]) -> Iterable[Any]:
    waiting = list(reversed(list(nodes)))
    while waiting:
        node = waiting.pop()
        if node is None:
            continue
        yield node
        waiting += reversed(getattr(node, "nodelist", None) or [])


def shortened(source: str) -> tuple[str, list[str]]:
    """The source with one character in place of each run of plain prose, and the runs.

    pylatexenc looks at every character by itself, and at many in a row in quadratic time.
    """
    runs: list[str] = []
    if _STANDS_FOR_RUN.search(source):
        return source, runs

    def stand_in(found: re.Match[str]) -> str:
        if len(runs) == _MAX_RUNS:
            return found[0]
        # A command takes what follows it for its argument, braces or not: the first word stays in its place.
        is_argument = _COMMAND.search(source, max(0, found.start() - _MAX_COMMAND), found.start())
        first = re.match(r"\S+\s", found[0]) if is_argument else None
        kept = first[0] if first else ""
        runs.append(" ".join(found[0][len(kept) :].split()))
        return kept + chr(_FIRST_RUN + len(runs) - 1)

    return _PROSE.sub(stand_in, source), runs


def _laid_out(text: str, blocks: list[str], runs: list[str], code: list[str]) -> str:
    """Paragraphs on a line each, items of a list on lines below each other, blocks put back."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text)]
    out: list[str] = []
    for paragraph in paragraphs:
        if not paragraph or paragraph == _ITEM.strip():
            continue
        paragraph = re.sub(r"\s+([,.;:!?)])(?=\s|$)", r"\1", paragraph)
        follows = out and paragraph.startswith(_ITEM) and out[-1].lstrip("\n").startswith(_ITEM)
        out.append(("\n" if follows else "\n\n" if out else "") + paragraph)
    laid = _BLOCK.sub(lambda found: blocks[int(found[1])], "".join(out))
    laid = _STANDS_FOR_RUN.sub(lambda found: runs[ord(found[0]) - _FIRST_RUN], laid) if runs else laid
    laid = INLINE_CODE.sub(lambda found: f"`{code[int(found[1])]}`", laid)
    return CODE.sub(lambda found: f"```\n{code[int(found[1])]}\n```", laid)


@functools.cache
def _skips() -> re.Pattern[str]:
    length = r"\s*=?\s*-?(?:\d+\.?\d*|\.\d+)\s*(?:true\s*)?(?:pt|mm|cm|in|ex|em|bp|pc|sp|\\\w+)"
    names = "|".join(latex_tables().skips)
    return re.compile(rf"\\(?:{names})(?![A-Za-z]){length}(?:\s*(?:plus|minus){length})*")


@functools.cache
def _walker_context() -> Any:
    tables = latex_tables()
    context = get_walker_context_db()
    patterns = {**tables.dropped_macros, **tables.kept_macros, **tables.references, **tables.citations}
    patterns |= dict.fromkeys(tables.headings, "*[{")
    macros = [MacroSpec(name, pattern) for name, pattern in patterns.items()]
    environments = [EnvironmentSpec(name, pattern) for name, pattern in tables.environment_arguments.items()]
    context.add_context_category("falconmix", macros=macros, environments=environments, prepend=True)
    return context


@functools.cache
def _text_context() -> Any:
    return get_default_latex_context_db()
