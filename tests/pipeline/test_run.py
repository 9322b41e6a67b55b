import json

import pytest

from pipeline import recipe
from pipeline.errors import UsageError
from pipeline.run import RUN, open_run
from pipeline.store import Store

FOREIGN = ['{"format": 1, "fingerprint": "f", "finished": true}', "[]", '{"cut', '{"recipe": "x"}']


@pytest.mark.parametrize("text", FOREIGN)
@pytest.mark.parametrize("restart", [False, True])
def test_another_program_s_run_is_left_alone(tmp_path, recipe_file, text, restart):
    (tmp_path / RUN).write_text(text)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "theirs").write_text("precious")
    with pytest.raises(UsageError, match=r"run.json: not written by `falconmix curate`"):
        open_run(Store(tmp_path), [], recipe.load(str(recipe_file)), restart=restart)
    assert (tmp_path / RUN).read_text() == text
    assert (tmp_path / "work" / "theirs").read_text() == "precious"


def test_restart_empties_what_is_ours_alone(tmp_path, recipe_file):
    store, chosen = Store(tmp_path), recipe.load(str(recipe_file))
    open_run(store, [], chosen, restart=False).begin()
    store.write_json("work/old.json", {})
    (tmp_path / "notes.txt").write_text("mine")
    assert open_run(store, [], chosen, restart=True).state == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_unfinished_run_of_the_same_recipe_goes_on(tmp_path, recipe_file):
    store, chosen = Store(tmp_path), recipe.load(str(recipe_file))
    open_run(store, [], chosen, restart=False).begin()
    assert open_run(store, [], chosen, restart=False).state == "resumed"
    assert json.loads((tmp_path / RUN).read_text())["recipe"]["name"] == "test"
