"""A paper's own commands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.sources.latex_macros import MAX_NESTING, expand, group_end, split_definitions
from mixtures.sources.latex_project import LatexError


def expanded(source):
    return expand(*split_definitions(source))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"\newcommand{\R}{\mathbb{R}}$x \in \R^n$", r"$x \in \mathbb{R}^n$"),
        (r"\newcommand\R{\mathbb R}\R", r"\mathbb R"),
        (r"\newcommand*{\n}[1]{\|#1\|}\n{a}\n b\n\alpha", r"\|a\|\|b\|\|\alpha\|"),
        (r"\newcommand{\p}[2][x]{(#1,#2)}\p{y} \p[a]{b}", "(x,y) (a,b)"),
        (r"\def\pair#1#2{<#1|#2>}\pair{a}{{b}c}", "<a|{b}c>"),
        (r"\DeclareMathOperator{\rk}{rk}\rk A", r"\operatorname{rk}A"),
        (r"\DeclareMathOperator*{\am}{arg\,min}\am_x", r"\operatorname*{arg\,min}_x"),
        (r"\def\eps{\varepsilon}$\eps x\eps_1$", r"$\varepsilon x\varepsilon_1$"),
        (r"\newcommand{\m}{Tree\xspace}\m is \m, \m{} and \m's", "Tree is Tree, Tree and Tree's"),
        (r"\newcommand{\a}{x}\renewcommand{\a}{y}\a", "y"),
        (r"\newcommand{\a}{\b\b}\newcommand{\b}{z}\a", "zz"),
        (r"\newcommand{\a}{x}\\a \ab \a", r"\\a \ab x"),
        (r"\newcommand{\a}[1]{(#1)}\a", r"\a"),
        (r"\newcommand{\a}{\ifmmode x\fi}\a", r"\a"),
        (r"\def\a#1.{x}\a b.", r"\def\a#1.{x}\a b."),
        (r"\newcommand{\a}{x", r"\newcommand{\a}{x"),
        (r"\newcommand{\a}[1]{#2}\a{b}", r"\a{b}"),
        (r"\newcommand{\a}[1]{#0}\a{b}", r"\a{b}"),
        (r"\DeclareMathOperator{\a}{#1}\a{b}", r"\a{b}"),
    ],
)
def test_expansions(source, text):
    assert expanded(source) == text


def test_commands_that_call_each_other_end():
    source = r"\newcommand{\a}{\b}\newcommand{\b}{\a}\a"
    assert expanded(source) in (r"\a", r"\b")
    assert expanded(r"\newcommand{\a}{x\a}\a") == "x" * MAX_NESTING + r"\a"


def test_commands_that_double_without_end_are_stopped():
    with pytest.raises(LatexError, match="commands that expand without end"):
        expanded(r"\newcommand{\a}{\a\a}\a")
    with pytest.raises(LatexError, match="commands that expand without end"):
        expanded(r"\newcommand{\a}{" + "x" * 1000 + "}" + r"\a " * 1000)


@given(st.text(st.sampled_from("{}\\a# "), max_size=30))
def test_a_group_ends_where_its_brace_does(text):
    source = "{" + text
    end = group_end(source, 0)
    depth = position = 0
    expected = None
    while position < len(source):
        if source[position] == "\\":
            position += 2
            continue
        depth += {"{": 1, "}": -1}.get(source[position], 0)
        position += 1
        if not depth:
            expected = position
            break
    assert end == expected
