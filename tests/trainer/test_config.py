from pathlib import Path

import pytest

from mixtures.errors import RecipeError
from mixtures.strict import read_yaml, statuses, unmarked
from tests.trainer.corpus import write_recipe
from trainer.config import load_recipe, mixture_of, recipe_path
from trainer.record import resolved


def test_every_number_of_the_published_recipe_says_how_well_it_is_known() -> None:
    source = read_yaml(recipe_path("falcon2-11b"))
    marks = statuses(source)
    assert marks["model.layers"] == "published"
    assert marks["stages[0].rate.peak"] == "published"
    assert marks["stages[1].rope_theta"] == "second_hand"
    assert marks["optim.clip_norm"] == "assumed"
    claims = [name for name in unmarked(source) if name.startswith(("model", "optim", "stages"))]
    assert claims == []


def test_a_number_without_status_is_refused_where_statuses_are_required(tmp_path: Path) -> None:
    text = recipe_path("falcon2-11b").read_text()
    copy = tmp_path / "recipe.yaml"
    copy.write_text(text.replace("{value: 60, status: published}", "60"))
    with pytest.raises(RecipeError, match=r"model\.layers: has no status"):
        load_recipe(copy)


@pytest.mark.parametrize("name", ["demo", "falcon2-11b"])
def test_shipped_recipes_fit_their_mixtures(name: str) -> None:
    config = load_recipe(name)
    mixture = mixture_of(config, name)
    assert [stage.name for stage in config.stages] == [stage.name for stage in mixture.stages]
    assert [stage.tied for stage in config.stages] == [True, True, True, False]


def test_the_published_stages() -> None:
    config = load_recipe("falcon2-11b")
    assert [stage.rope_theta for stage in config.stages][1:] == [5_000_042, 5_000_042, 500_042]
    assert [size.sequences for size in config.stages[0].batch] == [2048, 4096, 8192, 16384, 32768]
    assert (config.stages[0].rate.peak, config.stages[0].rate.floor) == (3.7e-4, 1.89e-5)
    assert (config.optim.weight_decay, config.optim.z_loss) == (0.1, 1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("hidden: 32", "hiden: 32"), r"recipe\.yaml: model\.hiden: unknown key; did you mean hidden"),
        (("layers: 2", "layers: two"), r"model\.layers: expected a whole number, found 'two'"),
        (("heads: 4", "heads: 5"), r"model: hidden must be a multiple of heads"),
        (("micro_batch: 8\n", ""), r"micro_batch: missing key; add it"),
        (("peak: 1e-2, floor: 3e-3", "peak: 1e-3, floor: 3e-3"), r"stages\[0\]\.rate: floor must lie between"),
        (("{from_tokens: 0, sequences: 12}", "{from_tokens: 9, sequences: 12}"), r"stages\[1\]: batch must start with"),
        (("from_tokens: 1_200", "from_tokens: 400"), r"stages\[0\]: batch: from_tokens must rise"),
        (("every_steps: 4", "every_steps: 0"), r"checkpoint: every_steps must be positive"),
        (("rope_theta: 10_000\n    tied: true", "rope_theta: 10_000\n    tied: false"), r"cannot be tied again"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = write_recipe(tmp_path, change)
    with pytest.raises(RecipeError, match=message) as refusal:
        load_recipe(path)
    assert refusal.value.exit_code == 2


def test_stages_must_be_the_mixtures(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, ("  - name: three\n", "  - name: third\n"))
    with pytest.raises(RecipeError, match=r"'third'.*are not those of mixture tiny"):
        mixture_of(load_recipe(path), path)


def test_contexts_must_be_such_as_the_layout_can_cut(tmp_path: Path) -> None:
    fine = write_recipe(tmp_path / "fine", ("seed: 7\n", "seed: 7\nlayout: {context: 4}\n"))
    assert mixture_of(load_recipe(fine), fine).name == "tiny"
    path = write_recipe(tmp_path / "odd", ("seed: 7\n", "seed: 7\nlayout: {context: 3}\n"))
    with pytest.raises(RecipeError, match=r"layout\.context 3 needs contexts that 6 divides, one has 16"):
        mixture_of(load_recipe(path), path)


def test_an_unknown_name_lists_the_shipped_recipes() -> None:
    with pytest.raises(
        RecipeError, match=r"falcon3: neither a file nor a shipped recipe; shipped are demo, falcon2-11b"
    ):
        load_recipe("falcon3")


def test_a_resolved_recipe_reads_back_as_itself(tmp_path: Path) -> None:
    from mixtures.strict import load
    from trainer.config import TrainConfig

    config = load_recipe("falcon2-11b")
    assert load(TrainConfig, resolved(config)) == config


def test_a_folder_of_a_recipes_name_does_not_hide_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `falconmix train demo --output demo`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert mixture_of(load_recipe("demo"), "demo").name == "demo"
