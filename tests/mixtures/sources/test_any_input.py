"""Whatever an input holds, each of its records becomes a document or is counted: nothing is raised."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.sources import arxiv, code, encyclopedia, plain
from mixtures.sources.arxiv import Paper
from mixtures.sources.books import document, parse_book
from mixtures.sources.conversations import grouped, keyed
from mixtures.sources.document import Document, Dropped, Noted
from mixtures.sources.messages import REDDIT
from mixtures.sources.rows import Row
from tests.mixtures.sources.imports import options_of, piece_of, write_lines

SAMPLE = (Path(__file__).parents[2] / "data" / "sources" / "2301.00042" / "ms.tex").read_text(encoding="utf-8")
ARXIV = options_of("arxiv", "min_chars=1")
CODE, PLAIN = options_of("code"), options_of("plain")
CONVERSATIONS, ENCYCLOPEDIA, BOOKS = (options_of(kind) for kind in ("conversations", "encyclopedia", "books"))

LATEX = ["{", "}", "$", "$$", "\\[", "\\", "%", "&", "#1", "\x00", "^^", "\\item[", "\\cite", "\\verb|", "\\section{"]
LATEX += [
    "\\begin{align}",
    "\\end{x}",
    "\\begin{document}",
    "\\end{document}",
    "\\def\\a{\\a\\a}\\a",
    "\\newcommand{\\eps}",
]

SCALARS = st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


def rows_of(names):
    return st.lists(st.dictionaries(st.sampled_from(sorted(names)), VALUES, max_size=5), max_size=5)


def is_counted(items, n_records):
    assert all(isinstance(item, Document | Dropped | Noted) for item in items)
    assert sum(item.records for item in items if not isinstance(item, Noted)) == n_records


@settings(max_examples=60)
@given(
    cuts=st.lists(st.tuples(st.integers(0, len(SAMPLE)), st.integers(0, 12)), max_size=6),
    pieces=st.lists(
        st.tuples(
            st.integers(0, len(SAMPLE)),
            st.sampled_from(LATEX),
        ),
        max_size=6,
    ),
)
def test_any_latex(cuts, pieces):
    source = SAMPLE
    for place, length in cuts:
        source = source[:place] + source[place + length :]
    for place, piece in pieces:
        source = source[:place] + piece + source[place:]
    items = list(arxiv.documents(Paper(name="p", files={"ms.tex": source.encode()}), ARXIV))
    is_counted(items, 1)
    assert not [item for item in items if isinstance(item, Dropped) and item.reason.startswith("error:")]


@given(found=rows_of({name for names in code.COLUMNS.values() for name in names}))
def test_any_rows_of_code(found):
    is_counted(list(code.documents(iter([Row("r", row) for row in found]), CODE)), len(found))


@given(found=rows_of({"id", "url", "title", "text", "licence", "language", "source"}))
def test_any_rows_of_texts(found):
    is_counted(list(plain.documents(iter([Row("r", row) for row in found]), PLAIN, "s")), len(found))
    is_counted(list(encyclopedia.documents([Row("r", row) for row in found], ENCYCLOPEDIA)), len(found))


@given(found=rows_of(CONVERSATIONS.fields.names() | REDDIT | {"deleted"}))
def test_any_messages(found, tmp_path_factory):
    path = write_lines(tmp_path_factory.mktemp("any") / "a.jsonl", found)
    groups = {}
    n_messages = 0
    for item in keyed(piece_of(path), CONVERSATIONS):
        if isinstance(item, Dropped):
            assert item.damaged
        else:
            groups.setdefault(item[0], []).append(item[1])
            n_messages += 1
    is_counted([item for group, told in groups.items() for item in grouped(group, told, CONVERSATIONS)], n_messages)


@given(
    text=st.text(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                "*** START OF THE PROJECT GUTENBERG EBOOK X ***",
                "*** END OF THE PROJECT GUTENBERG",
                "Title: a",
                "Author:",
                "\n",
                "text",
            ]
        )
    ).map("\n".join)
)
def test_any_book(text):
    assert parse_book(text).text in text
    is_counted([document(text, "a.txt", BOOKS)], 1)
