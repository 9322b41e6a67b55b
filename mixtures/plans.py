"""Plan files: what `falconmix mix` works out beforehand, so that training only looks it up.

    TOKENS/plans/<digest>/plan.json              what the plan is of, and its figures
                          pieces.npy             documents to train on that meet the component's conditions [PIECE]
                          held_out.npy           those held out [PIECE]
                          2048.first.npy         best-fit packing for that context: number of each window's first chunk,
                          2048.chunks.npy        and the chunks [CHUNK]

The digest is of all that decides the plan; for other tokens or other conditions there is another folder.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from mixtures.catalogue import Catalogue
from mixtures.components import Component
from mixtures.errors import TokenFileError
from mixtures.roots import TokenRoot
from mixtures.run import Pieces
from mixtures.spec import Mixture
from mixtures.windows import Planned

VERSION: Final = 1
PLANS: Final = "plans"
PLAN: Final = "plan.json"
PIECES: Final = "pieces.npy"
HELD_OUT: Final = "held_out.npy"


@dataclass(frozen=True, kw_only=True)
class PlanFolder:
    """Where the plan files of one component are."""

    component: str
    digest: str
    root: TokenRoot

    @classmethod
    def of(
        cls, component: Component, folders: list[str], mixture: Mixture, catalogue: Catalogue, root: TokenRoot
    ) -> PlanFolder:
        """The plans of a component over those token folders."""
        shards = {folder: [shard.job for shard in catalogue.folders[folder]] for folder in folders}
        decisive = [VERSION, shards, [asdict(condition) for condition in component.where], str(mixture.held_out)]
        digest = hashlib.blake2b(json.dumps(decisive).encode(), digest_size=8).hexdigest()
        return cls(component=component.name, digest=digest, root=root)

    def name(self, file: str) -> str:
        """The name of one of the files, relative to the token root."""
        return f"{PLANS}/{self.digest}/{file}"

    def pieces(self) -> tuple[Pieces, Pieces]:
        """Pieces to train on, and pieces held out. Raises TokenFileError where the plan was not made."""
        return self._load(PIECES), self._load(HELD_OUT)

    def windows(self, context: int) -> Planned:
        """The windows of best-fit packing. Raises TokenFileError where the plan was not made."""
        return Planned(first=self._load(f"{context}.first.npy"), table=self._load(f"{context}.chunks.npy"))

    def _load(self, file: str) -> Any:
        name = self.name(file)
        try:
            return _mapped(self.root.local(name), self.root.shown(name))
        except FileNotFoundError:
            raise TokenFileError(
                f"{self.root.shown(name)}: no such plan for component {self.component!r}; make it with "
                "`falconmix mix RECIPE --plan --tokens TOKENS`"
            ) from None


def _mapped(path: Path, shown: str) -> Any:
    try:
        return np.load(path, mmap_mode="r").view(np.ndarray)
    except FileNotFoundError:
        raise
    except (ValueError, EOFError, OSError) as error:
        raise TokenFileError(
            f"{shown}: damaged ({error}); delete its folder and make it again with "
            "`falconmix mix RECIPE --plan --tokens TOKENS`"
        ) from error
