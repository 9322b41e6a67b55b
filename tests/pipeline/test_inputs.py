import os

import pytest

from pipeline.errors import UsageError
from pipeline.inputs import resolve


def write(path, data=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return str(path)


def names(arguments):
    return [found.warc_path for found in resolve(arguments)]


def test_order_and_place_of_the_files_do_not_matter(tmp_path):
    a, b = write(tmp_path / "here" / "a.warc.gz"), write(tmp_path / "there" / "b.warc.gz")
    assert names([a, b]) == names([b, a]) == ["a.warc.gz", "b.warc.gz"]


def test_a_folder_is_read_recursively_and_a_file_twice_counts_once(tmp_path):
    a = write(tmp_path / "x" / "y" / "a.warc.gz")
    write(tmp_path / "x" / "notes.txt")
    assert names([str(tmp_path / "x"), a]) == ["a.warc.gz"]


def test_equal_names_are_told_apart_by_as_many_folders_as_it_takes(tmp_path):
    paths = [write(tmp_path / f / "warc" / "0.warc.gz") for f in ("one", "two")] + [write(tmp_path / "1.warc.gz")]
    assert names(paths) == ["1.warc.gz", "one/warc/0.warc.gz", "two/warc/0.warc.gz"]


def test_common_crawls_own_path_is_kept_wherever_it_lies(tmp_path):
    path = write(tmp_path / "mirror" / "crawl-data" / "CC-MAIN-2023-40" / "segments" / "0.warc.gz")
    assert names([path]) == ["crawl-data/CC-MAIN-2023-40/segments/0.warc.gz"]


def test_a_change_in_the_last_byte_changes_the_digest(tmp_path):
    path = write(tmp_path / "a.warc.gz", b"x" * 3_000_000)
    before = resolve([path])[0].digest
    write(tmp_path / "a.warc.gz", b"x" * 2_999_999 + b"y")
    assert resolve([path])[0].digest != before


@pytest.mark.parametrize("argument", ["missing.warc.gz", "empty"])
def test_what_is_not_there_is_named(tmp_path, argument):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=argument):
        resolve([str(tmp_path / argument)])


def test_a_file_in_two_spellings_counts_once(tmp_path):
    a = write(tmp_path / "x" / "a.warc.gz")
    (tmp_path / "link.warc.gz").symlink_to(a)
    spellings = [str(tmp_path / "x" / ".." / "x" / "a.warc.gz"), str(tmp_path / "link.warc.gz"), a]
    assert names(spellings) == names(spellings[::-1])
    assert len(names(spellings)) == 1


def test_a_folder_that_cannot_be_listed_is_named_not_passed_over(tmp_path, monkeypatch):
    write(tmp_path / "a.warc.gz")
    (tmp_path / "shut").mkdir()
    scandir = os.scandir

    def shut(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", shut)
    with pytest.raises(UsageError, match=r"shut: cannot be read \(Permission denied\)"):
        resolve([str(tmp_path)])


def test_what_is_neither_file_nor_folder_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="pipe: neither a file nor a folder"):
        resolve([str(tmp_path / "pipe")])


def test_a_name_that_no_table_can_hold_is_refused(tmp_path):
    path = write(tmp_path / os.fsdecode(b"b\xff.warc.gz"))
    with pytest.raises(UsageError, match=r"b\\udcff.warc.gz.*not UTF-8"):
        resolve([path])
