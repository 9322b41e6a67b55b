"""Which files an import reads, and what they are called."""

import pytest

from mixtures.errors import InputError
from mixtures.sources.inputs import Accepted, resolve

JSONL = Accepted(pattern=r"\.jsonl$", said=".jsonl")


def write(path, content="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_folders_are_read_recursively_without_hidden_and_other_files(tmp_path):
    for name in ("b.jsonl", "sub/a.jsonl", "sub/notes.txt", ".git/c.jsonl", "sub/.d.jsonl"):
        write(tmp_path / name)
    assert [source.name for source in resolve([tmp_path], JSONL)] == ["a.jsonl", "b.jsonl"]


def test_equal_names_are_told_apart_by_their_folders_and_a_file_counts_once(tmp_path):
    first, second = write(tmp_path / "one" / "a.jsonl"), write(tmp_path / "two" / "a.jsonl")
    found = resolve([second, first, tmp_path / "one"], JSONL)
    assert [(source.name, source.path) for source in found] == [
        ("one/a.jsonl", str(first.resolve())),
        ("two/a.jsonl", str(second.resolve())),
    ]


def test_the_digest_tells_a_changed_file(tmp_path):
    path = write(tmp_path / "a.jsonl", "x" * 3_000_000)
    (before,) = resolve([path], JSONL)
    write(path, "x" * 2_999_999 + "y")
    (after,) = resolve([path], JSONL)
    assert (before.size, after.size) == (3_000_000, 3_000_000)
    assert before.digest != after.digest


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.jsonl", "nowhere.jsonl: no such file or folder"),
        ("a.txt", "a.txt: not an input of this kind; give .jsonl"),
        ("a.7z", r"a.7z: archives of this kind are not read; unpack it first \(`7z x a.7z`\)"),
        ("empty", "empty: holds no input of this kind; looked for .jsonl"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_mend(name, message, tmp_path):
    (tmp_path / "empty").mkdir()
    write(tmp_path / "a.txt")
    write(tmp_path / "a.7z")
    with pytest.raises(InputError, match=message):
        resolve([tmp_path / name], JSONL)


def test_a_folder_read_as_one_covers_what_lies_below_it(tmp_path):
    papers = Accepted(
        pattern=r"\.(tex|tar)$",
        said="papers",
        folder=lambda folder: any(folder.glob("*.tex")),
        in_folder=r"\.tar$",
    )
    for name in ("p/main.tex", "p/sections/a.tex", "p/old/b.tar", "q/c.tar", "r/s/d.tex"):
        write(tmp_path / name)
    found = resolve([tmp_path], papers)
    assert [source.name for source in found] == ["b.tar", "c.tar", "p", "s"]
    paper = next(source for source in found if source.name == "p")
    write(tmp_path / "p" / "sections" / "a.tex", "changed")
    assert next(source for source in resolve([tmp_path], papers) if source.name == "p").digest != paper.digest
