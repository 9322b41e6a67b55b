import errno
import gzip
import tarfile
from dataclasses import replace

import pytest

from pipeline import models, recipe
from pipeline.errors import UsageError
from pipeline.run import open_run
from pipeline.store import Store
from stages.urls import BlockList


@pytest.fixture
def with_files(recipe_file):
    def make(**files):
        found = recipe.load(str(recipe_file))
        block_lists = files.pop("block_lists", found.url.block_lists)
        return replace(found, url=replace(found.url, block_lists=tuple(map(str, block_lists))), **files)

    return make


def test_a_file_that_is_no_model_is_refused_before_any_work(tmp_path, with_files):
    (tmp_path / "lid.bin").write_text("no model")
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match=r"lid.bin: not a fastText model"):
        open_run(Store(tmp_path / "out"), [], with_files(language_model=str(tmp_path / "lid.bin")), restart=False)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(("name", "reason"), [("gone", "No such file"), (".", "Is a directory")])
def test_a_file_that_cannot_be_read_is_named_with_its_field(tmp_path, with_files, name, reason):
    with pytest.raises(UsageError, match=rf"recipe test: language_model: .* cannot be read \({reason}"):
        models.language_model_file(with_files(language_model=str(tmp_path / name)))


def test_a_block_list_that_is_not_there_is_named(tmp_path, with_files):
    with pytest.raises(UsageError, match=r"recipe test: url.block_lists: .* cannot be read \(No such file"):
        models.block_list_files(with_files(block_lists=[tmp_path / "gone"]))
    with pytest.raises(UsageError, match="no file called domains or urls below"):
        models.block_list_files(with_files(block_lists=[tmp_path]))


def test_lists_come_as_file_gzip_folder_and_archive(tmp_path, with_files):
    folder = tmp_path / "blacklists"
    (folder / "adult").mkdir(parents=True)
    (folder / "phishing").mkdir()
    (folder / "adult" / "domains").write_text("one.example\n")
    (folder / "adult" / "urls").write_text("two.example/page\n")
    (folder / "adult" / "expressions").write_text("three.example\n")
    (folder / "phishing" / "domains").write_text("www.Four.example")
    with tarfile.open(tmp_path / "all.tar.gz", "w:gz") as archive:
        archive.add(folder, "blacklists")
    (tmp_path / "more.gz").write_bytes(gzip.compress(b"five.example\n"))
    (tmp_path / "plain.txt").write_text("six.example\n")

    def blocked(*lists):
        store = Store(tmp_path / "out" / "-".join(path.name for path in lists))
        models.compile_block_table(store, with_files(block_lists=lists))
        found = BlockList(models.open_block_table(store))
        names = ("one", "two", "three", "four", "five", "six")
        return [name for name in names if found.match(f"http://{name}.example/page")]

    assert blocked(folder) == blocked(tmp_path / "all.tar.gz") == ["one", "two", "four"]
    assert blocked(folder / "phishing") == ["four"]
    assert blocked(tmp_path / "more.gz", tmp_path / "plain.txt") == ["five", "six"]


def test_entries_across_pieces_are_whole(tmp_path, with_files, monkeypatch):
    monkeypatch.setattr(models, "PIECE_BYTES", 7)
    entries = [f"host-{i}.example" for i in range(30)]
    (tmp_path / "list.txt").write_text("\n".join(entries))
    models.compile_block_table(Store(tmp_path), with_files(block_lists=[tmp_path / "list.txt"]))
    found = BlockList(models.open_block_table(Store(tmp_path)))
    assert [found.match(f"http://{entry}/") for entry in entries] == entries


def test_a_full_disk_is_told_by_its_number(tmp_path, with_files, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError) as caught:
        models.compile_block_table(Store(tmp_path), with_files())
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / models.BLOCK_TABLE)
    assert not list((tmp_path / "work" / "tables").iterdir())
