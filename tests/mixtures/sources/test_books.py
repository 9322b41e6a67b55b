"""Books as plain text."""

import gzip

import pytest

from mixtures.sources.books import parse_book
from mixtures.sources.streams import decoded_text
from tests.mixtures.sources.imports import imported

TEXT = "CHAPTER I\n\nIt was a café.\n\n" + "The rain went on and on.\n" * 60
HEADER = """The Project Gutenberg eBook of A Long Rain, by Jane Writer

This eBook is for the use of anyone anywhere in the United States and
most other parts of the world at no cost.

Title: A Long Rain
       And Other Stories

Author: Jane Writer

Release Date: January 1, 2001 [eBook #4321]
[Most recently updated: May 2, 2020]

Language: English

Character set encoding: UTF-8

*** START OF THE PROJECT GUTENBERG EBOOK A LONG RAIN ***

Produced by Somebody and the Online
Distributed Proofreading Team

"""
FOOTER = """

*** END OF THE PROJECT GUTENBERG EBOOK A LONG RAIN ***

Updated editions will replace the previous one--the old editions will
be renamed. *** more *** of the licence
"""
OLD = """**The Project Gutenberg Etext of A Long Rain**

Title: A Long Rain
Language: German

*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*

"""


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_book_of_project_gutenberg_loses_what_stands_around_it(ending, tmp_path):
    path = tmp_path / "4321-0.txt"
    path.write_bytes(("\ufeff" + HEADER + TEXT + FOOTER).replace("\n", ending).encode())
    report, (document,) = imported("books", path, tmp_path / "out")
    assert document["text"] == f"A Long Rain And Other Stories\n\nJane Writer\n\n{TEXT.strip()}"
    assert (document["title"], document["language"], document["source"]) == (
        "A Long Rain And Other Stories",
        "en",
        "gutenberg",
    )
    assert (document["url"], document["licence"]) == (
        "https://www.gutenberg.org/ebooks/4321",
        "Project Gutenberg License",
    )
    assert report["counts"]["records"] == 1


def test_the_oldest_headers_and_code_pages(tmp_path):
    path = tmp_path / "rain.txt.gz"
    path.write_bytes(
        gzip.compress((OLD + TEXT + "\nEnd of Project Gutenberg's A Long Rain, by Jane Writer\nmore").encode("cp1252"))
    )
    _, (document,) = imported("books", path, tmp_path / "out")
    assert document["text"].endswith(TEXT.strip())
    assert "café" in document["text"]
    assert (document["language"], document["title"]) == ("de", "A Long Rain")
    assert "SMALL PRINT" not in document["text"]


def test_a_book_without_a_header_is_kept_whole(tmp_path):
    path = tmp_path / "my-novel.txt"
    path.write_text(TEXT)
    _, (document,) = imported("books", path, tmp_path / "out", "licence=CC0", "language=it")
    assert document["text"] == TEXT.strip()
    assert [document[name] for name in ("title", "source", "licence", "language", "url")] == [
        "my-novel",
        "books",
        "CC0",
        "it",
        "",
    ]


def test_what_is_no_book_is_counted(tmp_path):
    books = {
        "copyrighted.txt": "This is a COPYRIGHTED Project Gutenberg eBook.\n" + HEADER + TEXT + FOOTER,
        "short.txt": HEADER + "Nothing." + FOOTER,
        "long.txt": TEXT * 10,
        "binary.txt": "a\0b",
    }
    for name, text in books.items():
        (tmp_path / "in" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "in" / name).write_text(text)
    report, documents = imported("books", tmp_path / "in", tmp_path / "out", "max_bytes=5000")
    assert documents == []
    assert report["counts"]["dropped"] == {
        "under copyright": 1,
        "shorter than min_chars": 1,
        "larger than max_bytes": 1,
    }
    assert report["counts"]["damaged"] == {"not a text": 1}


def test_a_start_over_two_lines_is_found():
    book = parse_book(
        decoded_text((HEADER.replace("EBOOK A LONG RAIN ***", "EBOOK A\nLONG RAIN ***") + TEXT + FOOTER).encode())
    )
    assert book.text.startswith("CHAPTER I")
    assert book.text.endswith("on and on.")


def test_a_text_that_only_speaks_of_gutenberg_is_left_alone():
    text = "Project Gutenberg is a library.\n\nIt has many books."
    assert parse_book(text).text == text
    assert not parse_book(text).is_gutenberg
