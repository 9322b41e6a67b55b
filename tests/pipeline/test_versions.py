import ast

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from pipeline import recipe
from pipeline.errors import UsageError
from pipeline.versions import MODULES, fingerprint

CHANGES_NO_ROW = {
    *("block_digest", "engine", "errors", "inputs", "lock", "manifest"),
    *("interrupt", "phase", "progress", "run", "statistics", "versions"),
}
"""Reached, but they decide nothing: names of inputs are in the key of a unit, counts and digests in the report."""
TASKS = ("unit", "unit_chain", "replay", "dedup/search", "publish", "page_worker", "guard_child")


def reached(folder, names):
    """Modules of the pipeline that these import, directly or not."""
    seen, left = set(), list(names)
    while left:
        name = left.pop()
        if name in seen or not (folder / f"{name}.py").exists():
            continue
        seen.add(name)
        for node in ast.walk(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pipeline."):
                left.append(node.module.removeprefix("pipeline.").replace(".", "/"))
    return seen


def test_all_code_that_shapes_a_row_is_in_the_fingerprint(repository):
    shaping = reached(repository / "pipeline", TASKS) - CHANGES_NO_ROW
    assert sorted(f"{name}.py" for name in shaping if "/" not in name) == list(MODULES)
    assert all(name.startswith("dedup/") for name in shaping if "/" in name)


@pytest.mark.parametrize("change", ["languages: [en]", "min_language_score: 0.5", "minhash: {threshold: 0.8}"])
def test_a_change_of_the_recipe_changes_the_fingerprint(change, recipe_file, tmp_path):
    (tmp_path / "changed.yaml").write_text(f"extends: {recipe_file}\nname: test\n{change}\n")
    base, changed = recipe.load(str(recipe_file)), recipe.load(str(tmp_path / "changed.yaml"))
    assert fingerprint(changed) != fingerprint(base) == fingerprint(recipe.load(str(recipe_file)))


def test_where_lists_lie_does_not_enter_but_what_they_hold_does(recipe_file, tmp_path):
    base = fingerprint(recipe.load(str(recipe_file)))
    for place, entry in (("here", "bluepictures.com"), ("there", "bluepictures.com"), ("changed", "other.com")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "blocked.txt").write_text(f"{entry}\n")
        (tmp_path / place / "recipe.yaml").write_text(recipe_file.read_text())
        same = fingerprint(recipe.load(str(tmp_path / place / "recipe.yaml"))) == base
        assert same == (place != "changed")


def test_of_a_tokenizer_what_it_holds_counts_and_not_where_it_lies(recipe_file, tmp_path):
    prints = []
    for place, tokens in (("here", ["a", "b"]), ("there", ["a", "b"]), ("changed", ["a", "c"])):
        (tmp_path / place).mkdir()
        vocabulary = {token: number for number, token in enumerate(tokens)}
        Tokenizer(WordLevel(vocabulary, unk_token="a")).save(str(tmp_path / place / "tokenizer.json"))
        changed = f"extends: {recipe_file}\nname: test\nsubstrings: {{tokenizer: tokenizer.json}}\n"
        (tmp_path / place / "recipe.yaml").write_text(changed)
        prints.append(fingerprint(recipe.load(str(tmp_path / place / "recipe.yaml"))))
    assert prints[0] == prints[1] != prints[2]
    assert fingerprint(recipe.load(str(recipe_file))) not in prints


def test_a_tokenizer_that_is_not_there_is_refused_by_name(recipe_file, tmp_path):
    asked = tmp_path / "tokens.yaml"
    asked.write_text(f"extends: {recipe_file}\nname: test\nsubstrings: {{tokenizer: none.json}}\n")
    with pytest.raises(UsageError, match=r"substrings\.tokenizer: .*none\.json: no tokenizer"):
        fingerprint(recipe.load(str(asked)))
