r"""The files of a paper as one LaTeX source: the main file found, `\input` followed, comments gone, code set aside."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from mixtures.sources.latex_tables import latex_tables
from mixtures.sources.streams import decoded_text

MAX_DEPTH: Final = 10
_CLASS: Final = re.compile(r"\\document(?:class|style)\s*(?:\[[^\]]{0,2000}\])?\s*\{\s*([^{}]{0,200}?)\s*\}")
_PART_CLASSES: Final = ("standalone", "subfiles")
_INCLUDE: Final = re.compile(
    r"\\(?:input|include|subfile|subfileinclude)\s*\{([^{}]*)\}|\\input\s+([^\s{}\\%]+)|\\import\s*\{([^{}]*)\}\s*\{([^{}]*)\}"
)
_COMMENT: Final = re.compile(
    r"(?P<address>\\(?:url|href|path|nolinkurl)\s*\{[^{}\n]*\})"
    r"|\\(?:verb\*?|lstinline(?:\[[^\]\n]{0,200}\])?)(?P<mark>[^a-zA-Z\s*{\[])(?P<verb>.{0,1000}?)(?P=mark)"
    r"|\\lstinline(?:\[[^\]\n]{0,200}\])?\{(?P<listed>[^{}\n]{0,500})\}"
    r"|(?P<escaped>\\.)|%.*"
)
_COMMENT_LINE: Final = re.compile(r"(?m)^[ \t]*%.*\n?")
_NEVER: Final = re.compile(
    r"(?P<named>\\let\s*\\[A-Za-z@]+\s*=?\s*\\iffalse(?![A-Za-z@]))|\\iffalse(?![A-Za-z@]|\s*\})"
)
"""An `\\iffalse`, but for one that `\\let` gives another name to, or that is the end of a macro's body."""
_NEVER_END: Final = re.compile(r"\\(?:else|fi)(?![A-Za-z@])")
CODE: Final = re.compile("\x02(\\d+)\x03")
"""Where a block of code was that is set aside."""
INLINE_CODE: Final = re.compile("\x0e(\\d+)\x0f")
"""The same within a line."""


class LatexError(ValueError):
    """A paper whose LaTeX cannot be made one text; the message is a reason for the counts."""


@dataclass(kw_only=True)
class Project:
    """A paper's source.

    text: all of it, with `CODE` and `INLINE_CODE` in place of code. code: the code, as it is.
    """

    text: str = ""
    code: list[str] = field(default_factory=list)


def decoded(content: bytes) -> str:
    """Text of a file, control characters as blanks."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f]", " ", decoded_text(content))


def main_file(files: Mapping[str, str]) -> str | None:
    r"""Name of the file that LaTeX is to be started with, None where there is none.

    Of several with a \documentclass: not one that another one inputs, then one called `main`, `ms` and the like, then
    the longest.
    """
    found = {name: _CLASS.search(_COMMENT_LINE.sub("", text)) for name, text in files.items()}
    candidates = [name for name, match in found.items() if match and match[1] not in _PART_CLASSES]
    included = {_located(files, name, target) for name in candidates for target in _targets(files[name])}

    def rank(name: str) -> tuple[bool, bool, int, str]:
        plain = PurePosixPath(name).stem.lower() not in latex_tables().main_names
        return name in included, plain, -len(files[name]), name

    return min(candidates, key=rank, default=None)


def joined(files: Mapping[str, str], main: str, *, max_bytes: int) -> Project:
    r"""The source that begins in `main`, with what it inputs in place. Raises LatexError where that is too long."""
    project = Project()
    budget = [max_bytes]
    project.text = _read(files, main, project, budget, within=())
    return project


def _read(files: Mapping[str, str], name: str, project: Project, budget: list[int], within: tuple[str, ...]) -> str:
    budget[0] -= len(files[name])
    if budget[0] < 0:
        raise LatexError("source longer than max_bytes")
    text = _without_comments(_set_aside(files[name], project), project)

    def replaced(match: re.Match[str]) -> str:
        located = _located(files, name, _target(match))
        if located is None or located in (*within, name) or len(within) >= MAX_DEPTH:  # not what is being read
            return ""
        inner = _read(files, located, project, budget, (*within, name))
        begin, end = inner.find(r"\begin{document}"), inner.find(r"\end{document}")
        return inner[begin + len(r"\begin{document}") : end] if 0 <= begin < end else inner  # of subfiles

    return _INCLUDE.sub(replaced, text)


def _targets(text: str) -> list[str]:
    return [_target(match) for match in _INCLUDE.finditer(text)]


def _target(included: re.Match[str]) -> str:
    one, other, folder, name = included.groups()
    return f"{folder.rstrip('/')}/{name}" if folder is not None else one or other or ""


def _located(files: Mapping[str, str], name: str, target: str) -> str | None:
    """The file that `target` means within `name`: below the paper's folder, or beside the file."""
    target = target.strip().strip('"')
    for base in (PurePosixPath(), PurePosixPath(name).parent):
        path = _normal(base / target)
        for candidate in (path, f"{path}.tex"):
            if candidate in files:
                return candidate
    return None


def _normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            del parts[-1:]
        elif part not in (".", "/"):
            parts.append(part)
    return "/".join(parts)


def _without_comments(text: str, project: Project) -> str:
    r"""Comments taken out, code within lines (`\verb`) set aside; a per cent sign in an address begins no comment."""

    def kept(found: re.Match[str]) -> str:
        if found["address"]:
            return re.sub(r"(?<!\\)[%&]", r"\\\g<0>", found["address"]).replace("~", r"{\textasciitilde}")
        code = found["listed"] if found["mark"] is None else found["verb"]
        if code is None:
            return found["escaped"] or ""
        project.code.append(code)
        return f"\x0e{len(project.code) - 1}\x0f"

    return _without_iffalse(_COMMENT.sub(kept, _COMMENT_LINE.sub("", text)))


def _without_iffalse(text: str) -> str:
    r"""What stands from `\iffalse` to the next `\else` or `\fi` taken out: authors comment passages out so."""
    pieces, position = [], 0
    for begin in _NEVER.finditer(text):
        if begin["named"] or begin.start() < position:
            continue
        end = _NEVER_END.search(text, begin.end())
        if end is None:
            break
        pieces.append(text[position : begin.start()])
        position = end.end()
    return "".join([*pieces, text[position:]])


@functools.cache
def _set_aside_environment() -> re.Pattern[str]:
    names = (*latex_tables().code_environments, *latex_tables().removed_environments)
    return re.compile(r"\\begin\s*\{(" + "|".join(map(re.escape, names)) + r")\}")


def _set_aside(text: str, project: Project) -> str:
    """Put what stands in environments for code into `project.code`, before anything in it is taken for LaTeX."""
    pieces, position = [], 0
    while begin := _set_aside_environment().search(text, position):
        name, ends = begin[1], f"\\end{{{begin[1]}}}"
        end = text.find(ends, begin.end())
        line = text[text.rfind("\n", 0, begin.start()) + 1 : begin.start()]
        if end < 0 or "%" in line.replace("\\%", ""):
            pieces.append(text[position : begin.end()])
            position = begin.end()
            if end < 0:
                break
            continue
        pieces.append(text[position : begin.start()])
        if name in latex_tables().code_environments:
            pieces.append(f"\n\n\x02{len(project.code)}\x03\n\n")
            project.code.append(_code(text[begin.end() : end]))
        position = end + len(ends)
    return "".join([*pieces, text[position:]])


def _code(body: str) -> str:
    """Code without the options that stand in front of it."""
    return re.sub(r"\A[ \t]*(?:\[[^\]\n]*\])?(?:\{[^}\n]*\})?[ \t]*\n", "", body).strip("\n").rstrip()
