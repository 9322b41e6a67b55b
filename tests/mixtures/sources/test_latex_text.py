"""LaTeX as text."""

import pytest

from mixtures.sources import latex_text as latex_text_module
from mixtures.sources.latex_project import LatexError
from mixtures.sources.latex_text import latex_text, theorem_names


def text(source, **more):
    return latex_text(source, **more).text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a\nb\n\nc", "a b\n\nc"),
        (r"\section{One}\label{s} x \subsection*{Two \emph{it}} y", "## One\n\nx\n\n### Two it\n\ny"),
        (r"\paragraph{Run in.} text", "##### Run in.\n\ntext"),
        (r"K\"onig, \'Eric, na\"{\i}ve \ss\ \o{} \c{c}", "König, Éric, naïve ß ø ç"),
        (r"``quoted'' --- 1--2~cm \& \% \$ \_", "“quoted” — 1–2 cm & % $ _"),
        (r"inline $a_1 \le  b$ and \(c\)", r"inline $a_1 \le b$ and $c$"),
        (r"x \[ a\] y $$b$$ z", "x\n\n$$a$$\n\ny\n\n$$b$$\n\nz"),
        ("\\begin{equation}\\label{e}\na\n\n=b\n\\end{equation}", "\\begin{equation}\na\n=b\n\\end{equation}"),
        (r"\begin{itemize}\item a \item[x)] b\end{itemize} c", "- a\n- x) b\n\nc"),
        (r"\begin{lemma}[Zorn] a\end{lemma}", "Lemma (Zorn). a"),
        (r"\begin{abstract}a\end{abstract}\begin{center}b\end{center}", "Abstract. a\n\nb"),
        (r"text\footnote{A note.} \textbf{bold} {\it old} \textsc{Sc}", "text (A note.) bold old Sc"),
        (r"\href{https://e.org}{here} \url{https://e.org/a_b}", "here https://e.org/a_b"),
        (r"known~\cite[p.~3]{a,b}. See~\citet{c}", "known. See"),
        (r"hy\-phen, \S3, \LaTeX\ by \TeX{}nicians", "hyphen, §3, LaTeX by TeXnicians"),
        (r"\includegraphics[width=1cm]{x.pdf}\vspace*{1cm}\maketitle\centering z", "z"),
        (r"\begin{tabular}{ll} a & b \\ c & d \end{tabular} e", "e"),
        (r"\unknowncommand{kept} \today", "kept"),
        (r"a \\ b \newline c \par d", "a b c\n\nd"),
        (r"\begin{minipage}[t]{0.5\textwidth}a\end{minipage}\begin{multicols}{2}b\end{multicols}", "a\n\nb"),
        (r"a\vskip 1.5cm b \hskip-2pt plus 1pt c \parskip=0.3\baselineskip d", "a b c d"),
        (r"\hyperref[sec]{here} \textcolor{red}{b} {\color{blue} c} \rotatebox{90}{d}", "here b c d"),
        ("", ""),
    ],
)
def test_each_shape(source, expected):
    assert text(source) == expected


PROSE = "some words that make up a longer run, and more (of it) so that it is one.\nOn two lines."


@pytest.mark.parametrize(
    "source",
    [
        PROSE,
        f"\\emph{{{PROSE}}} {PROSE}",
        f"\\emph {PROSE}",
        f"\\LaTeX {PROSE} \\label x {PROSE}",
        f"a $x {PROSE} y$ b",
        f"{PROSE}\n\n{PROSE}\n  \n{PROSE}",
        f"\\begin{{itemize}}\\item {PROSE}\\item[a] {PROSE}\\end{{itemize}}",
        f"``{PROSE}'' --- {PROSE}\\\\ {PROSE}~{PROSE}",
        f"\\section{{ {PROSE} }} \\footnote{{\n{PROSE}\n}}",
        f"\\begin{{align}}\n a \\text{{ {PROSE} }}\n\\end{{align}}",
    ],
)
def test_runs_of_prose_that_are_set_aside_change_nothing(source, monkeypatch):
    short, runs = latex_text_module.shortened(source)
    assert runs
    assert len(short) < len(source) - 60
    found = text(source)
    monkeypatch.setattr(latex_text_module, "shortened", lambda source: (source, []))
    assert " ".join(found.split()) == " ".join(text(source).split())


def test_characters_of_private_use_are_text():
    assert text(f"\U000f0000 {PROSE}") == "\U000f0000 " + PROSE.replace("\n", " ")


def test_references_citations_and_captions_are_as_asked():
    source = r"see \ref{s} \cite{k}. \begin{figure}\includegraphics{x}\caption[short]{A \emph{long} one.}\end{figure}"
    assert text(source) == "see."
    assert text(source, keep=["references", "citations", "figures"]) == "see \\ref{s} \\cite{k}.\n\nA long one."


def test_theorems_bear_the_names_that_the_paper_gives_them():
    source, names = theorem_names(
        r"\newtheorem{satz}{Satz}[section]\newtheorem{hs}[satz]{Hilfssatz}\begin{satz}x\end{satz}"
    )
    assert names == {"satz": "Satz", "hs": "Hilfssatz"}
    assert text(source, theorems=names) == "Satz. x"


def test_code_comes_back_as_it_was():
    assert text("a\n\n\x020\x03\n\nb", code=["x  =  1\n\n  y"]) == "a\n\n```\nx  =  1\n\n  y\n```\n\nb"


def test_code_within_a_line_comes_back_between_backticks():
    assert text("see \x0e0\x0f, or \\emph{\x0e1\x0f}", code=["a  $b", "c"]) == "see `a  $b`, or `c`"


def test_of_a_source_that_cannot_be_read_whole_the_other_sections_are_kept():
    source = r"intro \section{A} good \section{B} $ never closed \section{C} also good"
    found = latex_text(source)
    assert (found.text, found.n_lost) == ("intro\n\n## A\n\ngood\n\n## C\n\nalso good", 1)


@pytest.mark.parametrize("source", [r"$ never", r"\begin{a} x \end{b}", "{" * 3000, r"\section{A} } x \section{B} { y"])
def test_a_source_that_cannot_be_read_is_refused(source):
    with pytest.raises(LatexError, match="LaTeX that cannot be read"):
        latex_text(source)
