r"""A paper's own commands, expanded: `\newcommand`, `\def` and `\DeclareMathOperator` with plain arguments.

It is not TeX: definitions whose bodies decide, count or define something themselves are left alone, and so are commands
that call themselves without end. How many expansions there may be is bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mixtures.sources.latex_project import LatexError

MAX_EXPANSIONS: Final = 50_000
MAX_NESTING: Final = 20
MAX_GROWTH: Final = 4
_MAX_BODY: Final = 2_000
_MAX_GROUP: Final = 20_000
_MAX_UNENDED: Final = 100
_BRACE: Final = re.compile(r"\\.|[{}]", re.DOTALL)
_NAME: Final = re.compile(r"\\([A-Za-z]+)")
_DEFINITION: Final = re.compile(
    r"\\(newcommand|renewcommand|providecommand|DeclareRobustCommand|DeclareMathOperator)\s*(\*?)\s*"
    r"(?:\{\s*\\([A-Za-z]+)\s*\}|\\([A-Za-z]+))\s*(?:\[(\d)\])?\s*(\[[^\]]{0,200}\])?\s*(?=\{)"
    r"|\\(?:long\\|global\\)?[gex]?def\s*\\([A-Za-z]+)\s*((?:#\d)*)\s*(?=\{)"
)
_NOT_PLAIN: Final = re.compile(
    r"\\(?:if[a-zA-Z]*|else|fi|csname|expandafter|futurelet|let|[gex]?def|newcommand|renewcommand|begingroup|catcode"
    r"|@[a-zA-Z]*|setcounter|addtocounter|loop|repeat)(?![a-zA-Z])|@"
)


@dataclass(frozen=True, kw_only=True)
class Macro:
    r"""A command: its body, the number of its arguments, what the first one is where it is not given, and whether a
    blank belongs between it and a word (`\xspace`)."""

    body: str
    n_arguments: int = 0
    default: str | None = None
    spaced: bool = False


def split_definitions(source: str) -> tuple[str, dict[str, Macro]]:
    """The source without its definitions of commands, and those that are plain; of two the later one.

    Raises LatexError where many of them do not end.
    """
    macros: dict[str, Macro] = {}
    pieces, position, n_unended = [], 0, 0
    while found := _DEFINITION.search(source, position):
        end = group_end(source, found.end())
        if end is None:
            pieces.append(source[position : found.end()])
            position = found.end()
            n_unended += 1
            if n_unended > _MAX_UNENDED:
                raise LatexError("definitions that do not end")
            continue
        pieces.append(source[position : found.start()])
        position = end
        name, macro = _macro(found, source[found.end() + 1 : end - 1])
        if macro:
            macros[name] = macro
    return "".join([*pieces, source[position:]]), macros


def _macro(found: re.Match[str], body: str) -> tuple[str, Macro | None]:
    name = found[3] or found[4] or found[7]
    if found[1] == "DeclareMathOperator":
        return name, None if "#" in body else Macro(body=f"\\operatorname{found[2]}{{{body}}}")
    n_arguments = int(found[5] or 0) if found[1] else len(found[8]) // 2
    used = [int(number) for number in re.findall(r"#(\d)", body)]
    if (
        len(body) > _MAX_BODY
        or _NOT_PLAIN.search(body)
        or "##" in body
        or not all(1 <= number <= n_arguments for number in used)
    ):
        return name, None
    default = found[6][1:-1] if found[6] is not None and n_arguments else None
    bare = body.replace(r"\xspace", "")
    return name, Macro(body=bare.strip(), n_arguments=n_arguments, default=default, spaced=bare != body)


def expand(source: str, macros: dict[str, Macro]) -> str:
    """The source with `macros` expanded. Raises LatexError where there are too many of them to follow."""
    if not macros:
        return source
    budget = _Budget(expansions=MAX_EXPANSIONS, chars=MAX_GROWTH * len(source) + 100_000)
    return _expand(source, macros, budget, 0)


@dataclass
class _Budget:
    expansions: int
    chars: int
    failures: int = 1_000

    def spend(self, n_chars: int) -> None:
        self.expansions -= 1
        self.chars -= n_chars
        if self.expansions < 0 or self.chars < 0:
            raise LatexError("commands that expand without end")

    def fail(self) -> None:
        """Count a command whose arguments are not there."""
        self.failures -= 1
        if self.failures < 0:
            raise LatexError("commands without their arguments")


def _expand(text: str, macros: dict[str, Macro], budget: _Budget, nesting: int) -> str:
    pieces, position = [], 0
    for found in _NAME.finditer(text):
        macro = macros.get(found[1])
        if found.start() < position or macro is None or nesting >= MAX_NESTING or _is_escaped(text, found.start()):
            continue
        taken = _arguments(text, found.end(), macro)
        if taken is None:
            budget.fail()
            continue
        arguments, end = taken
        body = re.sub(r"#(\d)", lambda match, values=arguments: values[int(match[1]) - 1], macro.body)  # type: ignore[misc]
        budget.spend(len(body))
        value = _expand(body, macros, budget, nesting + 1)
        if text[end : end + 1].isalpha() and (macro.spaced or re.search(r"\\[A-Za-z]+$", value)):
            value += " "
        pieces += [text[position : found.start()], value]
        position = end
    return "".join([*pieces, text[position:]])


def _is_escaped(text: str, position: int) -> bool:
    r"""Whether the backslash at `position` is the second half of `\\`."""
    before = position
    while before and text[before - 1] == "\\":
        before -= 1
    return (position - before) % 2 == 1


def _arguments(text: str, position: int, macro: Macro) -> tuple[list[str], int] | None:
    """The arguments of a command whose name ends at `position`, and where they end; None where one is missing."""
    arguments: list[str] = []
    if macro.default is not None:
        after = _skip_blanks(text, position)
        end = text.find("]", after) if text[after : after + 1] == "[" else -1
        arguments.append(text[after + 1 : end] if end >= 0 else macro.default)
        position = end + 1 if end >= 0 else position
    while len(arguments) < macro.n_arguments:
        position = _skip_blanks(text, position)
        argument_end = _argument_end(text, position)
        if argument_end is None:
            return None
        given = text[position:argument_end]
        arguments.append(given[1:-1] if given.startswith("{") else given)
        position = argument_end
    if not macro.n_arguments:
        position = _skip_line_blanks(text, position)
        position += 2 if text.startswith("{}", position) else 0
    return arguments, position


def _argument_end(text: str, position: int) -> int | None:
    if text[position : position + 1] == "{":
        return group_end(text, position)
    if name := _NAME.match(text, position):
        return name.end()
    char = text[position : position + 1]
    return position + 1 if char and char not in "}\\$&\n" else None


def group_end(text: str, position: int) -> int | None:
    """Where the group ends that begins with a brace at `position`; None where it does not within 20,000 characters."""
    depth = 0
    for brace in _BRACE.finditer(text, position, position + _MAX_GROUP):
        if brace[0] == "{":
            depth += 1
        elif brace[0] == "}":
            depth -= 1
            if not depth:
                return brace.end()
    return None


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\n":
        position += 1
    return position


def _skip_line_blanks(text: str, position: int) -> int:
    """Past the blanks that TeX takes with a command's name; an empty line is none of them."""
    end = position
    while end < len(text) and text[end] in " \t":
        end += 1
    return end
