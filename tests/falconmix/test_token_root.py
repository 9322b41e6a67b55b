"""`--tokens` as a folder or in an object store, from the command line."""

import argparse
import json
from pathlib import Path

import pytest

from falconmix.cli import main, parser
from falconmix.token_root import CACHE_BYTES, add_token_root, token_root
from mixtures.errors import StoreAccessError
from mixtures.remote import ObjectStore
from mixtures.roots import Folder
from tests.mixtures.object_server import serving
from tests.trainer.corpus import write_recipe, write_tokens
from tests.trainer.runs import assert_same, final_tensors, untimed

SHORT = (("tokens: 2_000", "tokens: 500"), ("tokens: 1_300", "tokens: 320"), ("every_steps: 4", "every_steps: 2"))


def given(*words: str) -> argparse.Namespace:
    command = argparse.ArgumentParser()
    add_token_root(command, required=False, what="tokens")
    return command.parse_args(words)


def test_where_tokens_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    assert token_root(given("--tokens", "some/folder")) == Folder(Path("some/folder"))
    assert token_root(given("--tokens", "file:///a/b")) == Folder(Path("/a/b"))
    assert token_root(given(), "/a/b") == Folder(Path("/a/b"))
    for url in ("s3://bucket/path", "gs://bucket", "az://container/path", "http://127.0.0.1/x"):
        root = token_root(given("--tokens", url), "/a/b")
        assert isinstance(root, ObjectStore)
        assert (root.address, root.shown("x"), root._cache.folder) == (url, f"{url}/x", tmp_path / "falconmix/tokens")
        assert root._cache.limit_bytes == CACHE_BYTES
    chosen = token_root(given("--token-cache", "c", "--token-cache-bytes", "1_000"), "s3://bucket")
    assert isinstance(chosen, ObjectStore)
    assert (chosen._cache.folder, chosen._cache.limit_bytes) == (Path("c"), 1_000)
    with pytest.raises(StoreAccessError, match="foo://x: cannot be used"):
        token_root(given("--tokens", "foo://x"))


@pytest.mark.parametrize("bytes_", ["0", "50G", "-1"])
def test_a_size_is_a_number_of_bytes(bytes_: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["train", "demo", "--tokens", "t", "--output", "o", "--token-cache-bytes", bytes_])
    assert f"{bytes_!r} is not a number of bytes; write 50_000_000_000" in capsys.readouterr().err


@pytest.mark.parametrize("cache_bytes", [30_000, 10**9])
def test_a_run_from_an_object_store_is_that_from_the_folder(
    cache_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By windows with a cache for the documents' indexes, and by whole files; then `trace` by what run.json says."""
    recipe, tokens = write_recipe(tmp_path / "recipe", *SHORT), write_tokens(tmp_path)
    cache = ["--token-cache", str(tmp_path / "cache"), "--token-cache-bytes", str(cache_bytes)]
    assert main(["train", str(recipe), "--tokens", str(tokens), "--output", str(tmp_path / "local")]) == 0
    with serving(tokens) as server:
        for name, value in (("ENDPOINT_URL", server.url), ("ALLOW_HTTP", "true"), ("SKIP_SIGNATURE", "true")):
            monkeypatch.setenv(f"AWS_{name}", value)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        train = ["train", str(recipe), "--tokens", "s3://bucket", "--output", str(tmp_path / "run"), *cache]
        assert main(train) == 0, capsys.readouterr().err
        capsys.readouterr()
        assert json.loads((tmp_path / "run" / "run.json").read_text())["tokens"] == "s3://bucket"
        assert main(["trace", str(tmp_path / "run"), "--step", "2", "--json", *cache]) == 0
        theirs = capsys.readouterr().out
    assert main(["trace", str(tmp_path / "local"), "--step", "2", "--json"]) == 0
    assert json.loads(theirs) == json.loads(capsys.readouterr().out)
    assert_same(final_tensors(tmp_path / "run"), final_tensors(tmp_path / "local"))
    assert untimed(tmp_path / "run") == untimed(tmp_path / "local")
    assert sum(path.stat().st_size for path in (tmp_path / "cache").iterdir()) <= cache_bytes


def test_errors_of_a_store_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_recipe(tmp_path / "recipe")
    with serving(tmp_path) as server:
        command = ["train", str(recipe), "--tokens", f"{server.url}/bucket/tokens", "--output", str(tmp_path / "run")]
        assert main([*command, "--token-cache", str(tmp_path / "cache")]) == 2
    assert capsys.readouterr().err == (
        f"falconmix train: {server.url}/bucket/tokens/tokens.json: no such object; give the place to which all that "
        "`falconmix tokenize` wrote was copied\n"
    )
