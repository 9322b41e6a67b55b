"""The files of a paper as one source."""

import pytest

from mixtures.sources.latex_project import LatexError, Project, decoded, joined, main_file

CLASS = "\\documentclass{article}\n"


def source(files, main="main.tex"):
    return joined(files, main, max_bytes=10_000)


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("a % b\nc", "a \nc"),
        ("a\n  % whole line\nb", "a\nb"),
        (r"50\% of % it", r"50\% of "),
        ("line \\\\% comment\nb", "line \\\\\nb"),
        (r"\url{https://e.org/a%20b} % c", r"\url{https://e.org/a\%20b} "),
        (r"\url{https://e.org/~a?b=1&c=\&}", r"\url{https://e.org/{\textasciitilde}a?b=1\&c=\&}"),
        (
            r"\let\iffull\iffalse a \let\ifx =\iffalse b \iffull c \else d \fi",
            r"\let\iffull\iffalse a \let\ifx =\iffalse b \iffull c \else d \fi",
        ),
        (r"\newcommand{\hide}{\iffalse} a \iffalse b \fi c", r"\newcommand{\hide}{\iffalse} a  c"),
        (r"a \iffalse b \fi c \iffalse d \else e \fi \iffalsehood \iffalse f", r"a  c  e \fi \iffalsehood \iffalse f"),
        (r"\verb|a%b| c", "\x0e0\x0f c"),
        ("% \\begin{verbatim}\nx % y", "x "),
    ],
)
def test_comments_go_and_other_signs_stay(text, without):
    assert source({"main.tex": text}).text == without


def test_code_is_set_aside_before_it_is_read_as_latex():
    text = "a\\begin{lstlisting}[language=C]\n% kept $ \\input{b}\n\\end{lstlisting}b"
    text += "\\begin{verbatim}\n x\n\\end{verbatim}"
    project = source({"main.tex": text, "b.tex": "not here"})
    assert project == Project(text="a\n\n\x020\x03\n\nb\n\n\x021\x03\n\n", code=["% kept $ \\input{b}", " x"])
    assert source({"main.tex": "a\\begin{verbatim} never % ends"}).text == "a\\begin{verbatim} never "
    assert source({"main.tex": "a\\begin{comment}\n}{$ \\end{comment}b"}).text == "ab"


def test_code_within_a_line_is_set_aside_unless_it_is_in_a_comment():
    text = "\\verb+$x%+ \\lstinline{a $ b} \\lstinline[language=C]|{| % \\verb|no|\n\\verbatim \\\\verb|x|"
    project = source({"main.tex": text})
    assert project.text == "\x0e0\x0f \x0e1\x0f \x0e2\x0f \n\\verbatim \\\\verb|x|"
    assert project.code == ["$x%", "a $ b", "{"]


def test_inputs_are_followed_wherever_they_lie():
    files = {
        "main.tex": "1\\input{s/a}2\\include{b.tex}3\\input c 4\\import{s/}{d}5\\input{missing}\\input{}6 % \\input{b}",
        "s/a.tex": "A\\input{e}\\input{../b}",
        "s/e.tex": "E",
        "b.tex": "B % c",
        "c.tex": "C",
        "s/d.tex": "\\documentclass{subfiles}\\begin{document}D\\end{document}",
    }
    assert source(files).text == "1AEB 2B 3C 4D56 "


def test_a_file_that_inputs_itself_stands_once_and_a_long_source_is_refused():
    assert source({"main.tex": "x\\input{main}\\input{main}"}).text == "x"
    assert source({"main.tex": "x\\input{b}\\input{b}", "b.tex": "y\\input{main}"}).text == "xyy"
    with pytest.raises(LatexError, match="source longer than max_bytes"):
        joined({"main.tex": "x\\input{b}\\input{b}", "b.tex": "y" * 1000}, "main.tex", max_bytes=2_000)


@pytest.mark.parametrize(
    ("files", "main"),
    [
        ({"a.tex": CLASS, "b.tex": "text"}, "a.tex"),
        ({"a.tex": CLASS + "long " * 99, "paper.tex": CLASS}, "paper.tex"),
        ({"a.tex": CLASS, "b.tex": CLASS + "longer"}, "b.tex"),
        ({"a.tex": CLASS + "\\input{b}", "b.tex": CLASS + "longer" * 9}, "a.tex"),
        ({"fig.tex": "\\documentclass[tikz]{standalone}", "b.tex": CLASS}, "b.tex"),
        ({"a.tex": "% \\documentclass{article}\n", "b.tex": "\\documentstyle[12pt]{article}"}, "b.tex"),
        ({"a.tex": "\\input amstex"}, None),
        ({}, None),
    ],
)
def test_the_main_file(files, main):
    assert main_file(files) == main


def test_files_are_decoded_as_the_older_ones_are_and_have_no_control_characters():
    assert decoded("\ufeffü\r\n€\x02".encode()) == "ü\n€ "
    assert decoded(b"K\xf6nig \x80\rx") == "König €\nx"
