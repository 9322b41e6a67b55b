"""Articles as plain text."""

import bz2

import pytest

from tests.mixtures.sources.imports import imported, write_lines

BODY = "Der Apfel ist eine Frucht. " * 10
EXTRACTED = f"""<doc id="12" revid="7" url="https://de.wikipedia.org/wiki?curid=12" title="Apfel &amp; Birne">
Apfel &amp; Birne

{BODY}

Geschichte.

Schon früh.

</doc>
<doc id="13" url="https://de.wikipedia.org/wiki?curid=13" title="Leer">
Leer

</doc>
<doc id="14" url="https://de.wikipedia.org/wiki?curid=14" title="Abgebrochen">
Ohne Ende
<doc id="15" url="https://de.wikipedia.org/wiki?curid=15" title="Kurz">
Kurz
</doc>
"""


def test_wikiextractors_files(tmp_path):
    packed = tmp_path / "AA" / "wiki_00.bz2"
    packed.parent.mkdir()
    packed.write_bytes(bz2.compress(EXTRACTED.replace("Apfel &amp; Birne\n\n", "Apfel & Birne\n\n").encode()))
    report, (document,) = imported("encyclopedia", tmp_path, tmp_path / "out")
    assert document["text"] == f"Apfel & Birne\n\n{BODY.strip()} \n\nGeschichte.\n\nSchon früh."
    assert (document["title"], document["language"]) == ("Apfel & Birne", "de")
    assert (document["source"], document["licence"]) == ("de.wikipedia.org", "CC BY-SA 4.0")
    assert document["url"] == "https://de.wikipedia.org/wiki?curid=12"
    assert report["counts"]["dropped"] == {"empty article": 2}
    assert report["counts"]["damaged"] == {"article without its end": 1}
    assert report["counts"]["examples"] == ["wiki_00.bz2, line 15: article without its end"]


def test_json_lines_with_and_without_an_ending(tmp_path):
    rows = [
        {"id": "1", "revid": "2", "url": "https://als.wikipedia.org/wiki?curid=1", "title": "Öpfel", "text": BODY},
        {"id": "2", "url": "https://lex.example/a", "title": "A", "text": "short"},
    ]
    for name in ("wiki_00", "articles.jsonl"):
        write_lines(tmp_path / name / name, rows)
        report, (document,) = imported("encyclopedia", tmp_path / name, tmp_path / f"{name}-out")
        assert document["text"] == f"Öpfel\n\n{BODY.strip()}"
        assert (document["language"], document["source"]) == (None, "als.wikipedia.org")
        assert report["counts"]["dropped"] == {"shorter than min_chars": 1}


def test_an_article_that_never_ends_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("mixtures.sources.encyclopedia._MAX_ARTICLE_CHARS", 1000)
    path = tmp_path / "wiki_00"
    path.write_text('<doc id="1" title="A">\n' + "words\n" * 500 + f'<doc id="2" title="B">\n{BODY}\n</doc>\n')
    report, (document,) = imported("encyclopedia", path, tmp_path / "out")
    assert (document["title"], document["source"]) == ("B", "encyclopedia")
    assert report["counts"]["damaged"] == {"article without its end": 1}


@pytest.mark.parametrize("content", ["Apples\nare fruit.\n".encode("utf-16"), b"Apples\n\nare fruit.\n"])
def test_a_file_without_any_article_is_damaged(content, tmp_path):
    (tmp_path / "wiki_00").write_bytes(content)
    report, _ = imported("encyclopedia", tmp_path / "wiki_00", tmp_path / "out")
    assert report["counts"]["damaged"] == {"text outside of articles": 1}
    assert report["counts"]["examples"] == ["wiki_00, line 1: text outside of articles"]
