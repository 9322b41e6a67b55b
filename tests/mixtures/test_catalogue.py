from collections.abc import Callable
from pathlib import Path

import pytest

from mixtures.catalogue import read_catalogue, survey, write_catalogue
from mixtures.errors import TokenFileError, TokenizerError


@pytest.fixture
def root(write_root: Callable[..., Path], tmp_path: Path) -> Path:
    tree = {
        "web/lang=fr": [{"a": [1, 2]}],
        "web/lang=de": [{"b": [3]}, {"c": [4, 5, 6], "d": []}],
        "web": [{"e": [7]}],
    }
    return write_root(tmp_path / "tokens", tree)


def test_folders_are_matched_segment_by_segment(root: Path) -> None:
    catalogue = read_catalogue(root)
    assert catalogue.matching("web/lang=*") == ["web/lang=de", "web/lang=fr"]
    assert catalogue.matching("web") == catalogue.matching("*") == ["web"]
    assert catalogue.matching("lang=de") == []
    assert catalogue.tokens("web/lang=de") == 7
    assert [shard.documents for shard in catalogue.folders["web/lang=de"]] == [1, 2]


def test_nothing_but_the_asterisk_is_special(write_root: Callable[..., Path], tmp_path: Path) -> None:
    catalogue = read_catalogue(write_root(tmp_path / "odd", {"web [1]": [{"a": [1]}], "web ?": [{"b": [2]}]}))
    assert catalogue.matching("web [1]") == ["web [1]"]
    assert catalogue.matching("web ?") == ["web ?"]
    assert catalogue.matching("w*[*]") == ["web [1]"]
    assert catalogue.matching("*") == ["web ?", "web [1]"]


def test_writing_what_was_read_gives_the_same_bytes(root: Path) -> None:
    before = (root / "tokens.json").read_bytes()
    write_catalogue(root, read_catalogue(root))
    assert (root / "tokens.json").read_bytes() == before


def test_missing_damaged_and_newer_catalogues_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match=r"tokens\.json: no such file; make it with `falconmix tokenize"):
        read_catalogue(tmp_path)
    shard = '{"format": 2, "folders": {"a": [{"file": 1}]}}'
    for content, message in [
        ("{", "damaged"),
        ("[]", "damaged"),
        (shard, "damaged"),
        ('{"format": 3}', "format 3, this version reads 2"),
    ]:
        (root / "tokens.json").write_text(content)
        with pytest.raises(TokenFileError, match=message):
            read_catalogue(root)


def test_mixed_tokenizers_are_refused(root: Path, write_tokens: Callable[..., Path]) -> None:
    other = write_tokens(root / "code" / "x.tokens", {"z": [1]}, tokenizer="cd" * 16)
    ours = root / "web" / "part-00000.tokens"
    with pytest.raises(TokenizerError, match="were made with different tokenizers; tokenise both with the same one"):
        survey(root, [(ours, "a"), (other, "b")])
    with pytest.raises(TokenizerError, match="is of another tokenizer"):
        read_catalogue(root).joined(survey(root, [(other, "b")]))


def test_nothing_to_survey(tmp_path: Path) -> None:
    with pytest.raises(TokenFileError, match="no token files; give `falconmix tokenize` at least one shard"):
        survey(tmp_path, [])
