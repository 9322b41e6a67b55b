import errno
from dataclasses import replace

import pytest

from pipeline import models, recipe
from pipeline.errors import UsageError
from pipeline.run import open_run
from pipeline.store import Store


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
    with pytest.raises(UsageError, match=rf"recipe test: url.block_lists: .* cannot be read \({reason}"):
        models.block_list_files(with_files(block_lists=[tmp_path / name]))


def test_a_full_disk_is_told_by_its_number(tmp_path, with_files, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError) as caught:
        models.compile_block_table(Store(tmp_path), with_files())
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(tmp_path / models.BLOCK_TABLE)
    assert not list((tmp_path / "work" / "tables").iterdir())
