"""Held-out losses by component and language against sums over single windows."""

from collections import defaultdict
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

from mixtures.stream import Stream
from tests.trainer import corpus
from trainer.build import blank, initialise
from trainer.config import load_recipe, mixture_of
from trainer.data import micro_batch
from trainer.held_out import held_out_loss, language
from trainer.layout import Process
from trainer.loss import loss_sums
from trainer.parallel import joined

LIMIT, WIDTH = 40, 8


@pytest.fixture(scope="module")
def languages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small corpus with two languages in one component."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "FOLDERS", (*corpus.FOLDERS, "RefinedWeb-Europe/lang=fr"))
        return corpus.write_tokens(tmp_path_factory.mktemp("languages"))


def test_each_language_has_the_loss_of_its_windows_and_components_keep_theirs(languages: Path, recipe: Path) -> None:
    config, process = load_recipe(recipe), Process()
    stream = Stream.open(mixture_of(config, recipe), languages)
    with joined(process) as mesh:
        model = blank(config, config.stages[0], mesh, process).model
        initialise(model, config.model, config.seed)
        found = held_out_loss(model, stream, 0, limit=LIMIT, width=WIDTH, mesh=mesh, process=process)
        assert found is not None

        windows, context = stream.held_out(16, LIMIT), stream.spans[0].context
        single, by_component = defaultdict(list), {}
        with torch.no_grad():
            for name in found.components:
                total = torch.zeros((), dtype=torch.float64)
                for first in range(0, len(windows[name]), WIDTH):
                    batch = micro_batch(windows[name][first : first + WIDTH], context, stream.schedule.mixture)
                    total += loss_sums(batch.logits(model), batch.targets).cross_entropy
                by_component[name] = total.item() / (len(windows[name]) * context)
            for window in (window for name in found.components for window in windows[name]):
                batch = micro_batch([window], context, stream.schedule.mixture)
                loss = cross_entropy(batch.logits(model).flatten(0, 1), batch.targets.flatten())
                single[window.folders].append(loss.item())

    assert found.components == by_component  # to the last bit: a pass is not divided for the languages' sake
    german, french = (single[f"RefinedWeb-Europe/lang={code}",] for code in ("de", "fr"))
    mixed = single["RefinedWeb-Europe/lang=de", "RefinedWeb-Europe/lang=fr"]
    assert min(len(german), len(french)) > WIDTH
    assert len(german) % WIDTH and len(german) + len(french) + len(mixed) == len(windows["Europe"])
    expected = {"de": german, "fr": french, "english_web": single["RefinedWeb-English",]}
    for name, losses in expected.items():
        assert found.languages[name] == pytest.approx(sum(losses) / len(losses), rel=1e-6), name
    assert found.languages["de"] != pytest.approx(found.languages["fr"], rel=1e-4)
    assert found.languages["technical"] == found.components["technical"]
    assert set(found.languages) == {"de", "fr", "english_web", "technical"}


def test_a_window_across_languages_is_of_neither(languages: Path, recipe: Path) -> None:
    stream = Stream.open(mixture_of(load_recipe(recipe), recipe), languages)
    windows = stream.held_out(16, 1000)["Europe"]
    names = [language(window, "european_web") for window in windows]
    across = [index for index, name in enumerate(names) if name is None]
    assert len(across) <= 1  # none where the boundary falls between two windows
    assert names == ["de"] * names.count("de") + [None] * len(across) + ["fr"] * names.count("fr")
    code = stream.held_out(16, 1)["code"][0]
    assert (code.folders, language(code, "code")) == (("code",), "code")
