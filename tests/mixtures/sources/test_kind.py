"""Kinds and their recipes."""

import pytest

from mixtures.errors import InputError, RecipeError
from mixtures.sources.kind import KINDS, open_kind, read_options
from mixtures.spec import recipe_names


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_has_its_name_and_a_recipe_that_is_read_whole(name, repository):
    kind = open_kind(name)
    assert kind.name == name
    assert (kind.documents is None) != (kind.keyed is None)
    assert (kind.keyed is None) == (kind.grouped is None)
    assert isinstance(read_options(kind), kind.options)
    assert (repository / "mixtures" / "recipes" / "sources" / f"{name}.yaml").is_file()


def test_recipes_of_sources_are_not_taken_for_mixtures():
    assert not set(KINDS) & set(recipe_names())


def test_an_unknown_kind_is_refused_with_the_nearest():
    with pytest.raises(InputError, match="stackexchang: no such kind of source; did you mean stackexchange"):
        open_kind("stackexchang")
    with pytest.raises(InputError, match="known are stackexchange, arxiv"):
        open_kind("zzz")


def test_a_recipe_says_only_what_differs_and_settings_come_last(tmp_path):
    recipe = tmp_path / "r.yaml"
    recipe.write_text(
        "min_answers: 0\nmin_answer_score: {value: 2, status: assumed}\nformat: {answer: 'A: {answer}'}\n"
    )
    shipped = read_options(open_kind("stackexchange"))
    options = read_options(open_kind("stackexchange"), recipe, ["min_answers=2", "format.between_answers='; '"])
    assert (options.min_answers, options.min_answer_score) == (2, 2)
    assert (options.format.answer, options.format.between_answers) == ("A: {answer}", "; ")
    assert options.format.thread == shipped.format.thread


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("min_score=1", r"--set: min_score: unknown key; did you mean min_"),
        ("format.answers=x", r"--set: format.answers: unknown key; did you mean answer"),
        ("min_answers=many", r"--set: min_answers: expected a whole number, found 'many'"),
        ("min_answers", "--set min_answers: not of the form key=value"),
        ("closed=maybe", "--set: closed: 'maybe' is not possible"),
        ("max_answers=0", "--set: max_answers must be at least 1"),
        ("format.answer=no place", "--set: format: answer: {answer} is missing; add it"),
        ("format.thread='{question} {author}'", "--set: format: thread: {author} cannot be filled in; known are"),
        ("a: [=1", "unknown key"),
        ("format.answer={answer}: {score}", r"the value is not YAML; quote text in it: format.answer='\"…\"'"),
        ("format.answer={answer}", r"--set: format.answer: expected text \(quote it\), found a mapping"),
    ],
)
def test_wrong_settings_are_refused_by_name(setting, message):
    with pytest.raises(RecipeError, match=message):
        read_options(open_kind("stackexchange"), None, [setting])
