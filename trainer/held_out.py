"""Loss on documents kept out of training, per component of a stage's mixture and per language."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from mixtures.spec import Mixture
from mixtures.stream import HeldOut, Stream
from trainer.data import micro_batch, micro_batches, passes, share
from trainer.layout import Process
from trainer.loss import counted, loss_sums
from trainer.model import Falcon2
from trainer.parallel import Mesh, reshard, summed

_LANGUAGE = "lang="
"""How the last part of a token folder's path begins where it is a language's."""


@dataclass(frozen=True, kw_only=True)
class HeldOutLoss:
    """Cross-entropy per token (nats): by component, weighted by the components' shares in the stage, by language."""

    loss: float
    components: dict[str, float]
    languages: dict[str, float]
    """Of each language, over all components; of tokens whose folder has none, of each kind of component. Windows that
    go over from one to the next count for neither."""


@dataclass(frozen=True, kw_only=True)
class _Passes:
    """How windows go through the model."""

    mixture: Mixture
    context: int
    width: int
    mesh: Mesh
    process: Process


def held_out_loss(
    model: Falcon2, stream: Stream, stage: int, *, limit: int, width: int, mesh: Mesh, process: Process
) -> HeldOutLoss | None:
    """Evaluate at most `limit` windows per component in forward passes of `width`; None where nothing is held out.

    Components too small to have a held-out window of this context are left out of all figures; so are languages.
    """
    mixture = stream.schedule.mixture
    how = _Passes(mixture=mixture, context=stream.spans[stage].context, width=width, mesh=mesh, process=process)
    windows = stream.held_out(how.context, limit)
    kinds = {component.name: component.kind for component in mixture.components}
    components, languages = dict[str, float](), defaultdict[str, list[Tensor]](list)
    for name in mixture.shares(mixture.stages[stage]):
        if len(windows.get(name, ())):
            names = [language(window, kinds[name]) for window in windows[name]]
            total, by_language = _sums(model, windows[name], names, how)
            components[name] = _mean(total)
            for each, sums in by_language.items():
                languages[each].append(sums)
    # Without a backward pass FSDP leaves the root's parameters gathered, and the model would show those instead of the
    # shards that the optimiser and the checkpoints know.
    reshard(model)
    if not components:
        return None
    shares = {name: float(mixture.shares(mixture.stages[stage])[name]) for name in components}
    weighted = sum(shares[name] * loss for name, loss in components.items())
    return HeldOutLoss(
        loss=weighted / sum(shares.values()),
        components=components,
        languages={name: _mean(torch.stack(sums).sum(dim=0)) for name, sums in languages.items()},
    )


def language(window: HeldOut, kind: str) -> str | None:
    """`xx` where all its tokens are of folders `…/lang=xx`, the component's kind where no folder says; None if both."""
    last = [folder.rpartition("/")[2] for folder in window.folders]
    names = {name.removeprefix(_LANGUAGE) if name.startswith(_LANGUAGE) else kind for name in last}
    return names.pop() if len(names) == 1 else None


@torch.no_grad()
def _sums(
    model: Falcon2,
    windows: Sequence[HeldOut],
    languages: Sequence[str | None],
    how: _Passes,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy and targets that count (fp64 [2]) of all windows, and of those of each language."""
    names = list(dict.fromkeys(name for name in languages if name is not None))
    width, process = how.width, how.process
    totals = torch.zeros(1 + len(names), 2, dtype=torch.float64, device=process.device)
    for part in micro_batches(share(len(windows), process), width, passes(len(windows), width, process)):
        batch = micro_batch([windows[row] for row in part], how.context, how.mixture)
        batch = batch.parted(process).to(process.device)
        logits = batch.logits(model)
        whole = _counted_sums(logits, batch.targets)
        totals[0] += whole
        for name, first, end in _runs([languages[row] for row in part]):
            if name is not None:
                alone = end - first == len(part)
                sums = whole if alone else _counted_sums(logits[first:end], batch.targets[first:end])
                totals[1 + names.index(name)] += sums
    total, *others = summed(totals, how.mesh)
    return total, dict(zip(names, others, strict=True))


def _runs(names: Sequence[str | None]) -> Iterator[tuple[str | None, int, int]]:
    """Runs of equal names: the name, the first place, the one after the last."""
    first = 0
    for name, same in groupby(names):
        end = first + len(list(same))
        yield name, first, end
        first = end


def _counted_sums(logits: Tensor, targets: Tensor) -> Tensor:
    return torch.stack((loss_sums(logits, targets).cross_entropy, counted(targets)))


def _mean(sums: Tensor) -> float:
    cross_entropy, targets = sums.tolist()
    return float(cross_entropy) / max(1.0, float(targets))
