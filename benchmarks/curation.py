"""From WARC to filtered text: CPU time per page and decisions of falconmix and of datatrove, on the same files.

    make bench-env
    python benchmarks/curation.py --input crawl/ --json
    python benchmarks/curation.py --input crawl/ --doomed 0.65 --json

falconmix runs `curate` with `equal_rules.yaml`: RefinedWeb's rules as far as datatrove's filters have them too.
datatrove runs as `peer_datatrove.py` says, in the environment that `make bench-env` makes. Both have one worker and
start from compiled code and unpacked lists; a run on one page of each language shows what starting costs, and figures
per page are the difference. CPU time is user and system time of every process of the job (`processes.py`).

`ratio` compares what both do: reading, URL filter, extraction, language, repetition, quality, with all that Ray and the
executor need for it. What falconmix does besides (writing tables, deduplicating, publishing) is shown apart;
`ratio_with_output` counts it against falconmix. datatrove writes nothing here.

`--doomed SHARE`: the responses that neither side keeps are repeated until they are that share of the input, as in a
crawl (RefinedWeb keeps 23 % before deduplication). Decisions are compared on the input as given.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from curation_cost import Cost, measure, measure_start_up
from decisions import compare, ours, peer_judge, text_judge, theirs
from given import files_of
from pipeline.models import language_model_file
from pipeline.recipe import Recipe, load
from processes import DRIVER, Usage, watch
from warc_sets import responses, write_doomed

HERE = Path(__file__).resolve().parent
RECIPE = HERE / "equal_rules.yaml"
PEER_ENVIRONMENT = HERE.parent / "build" / "bench-env"
APART = ("write", "deduplicate", "publish")
"""Work of falconmix that the peer's pipeline has no part for."""
TIMEOUT_S = 60.0
"""Of one extraction in datatrove: far above the slowest page, so that no result depends on how busy the machine is."""
Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PeerRun:
    """One run of datatrove; `notes_s` is what noting its decisions took, which is not datatrove's."""

    usage: Usage
    by_step_s: dict[str, float]
    notes_s: float
    pages: dict[str, Any]
    trafilatura: str


@dataclass(frozen=True, kw_only=True)
class Peer:
    """datatrove and what it is given."""

    environment: Path
    trafilatura: str
    words: str
    language_model: Path
    stop_words: dict[str, list[str]]

    def run(self, inputs: Sequence[Path], folder: Path) -> PeerRun:
        """Run it on the files; `folder` is made for what it writes."""
        (folder / "in").mkdir(parents=True)
        for path in inputs:
            (folder / "in" / path.name).symlink_to(path.resolve())
        settings = {
            "inputs": str(folder / "in"),
            "output": str(folder / "notes.json"),
            "work": str(folder / "logs"),
            "language_model": str(self.language_model),
            "stop_words": self.stop_words,
            "words": self.words,
            "timeout_s": TIMEOUT_S,
        }
        (folder / "settings.json").write_text(json.dumps(settings), encoding="utf-8")
        line = [
            str(self.environment / "bin" / "python"),
            str(HERE / "peer_datatrove.py"),
            str(folder / "settings.json"),
        ]
        usage = watch(line, ("child",), lambda _: "child", self._variables())
        notes = json.loads((folder / "notes.json").read_text(encoding="utf-8"))
        by_step_s = notes["cpu_s"]
        notes_s = by_step_s.pop("notes")
        return PeerRun(
            usage=usage, by_step_s=by_step_s, notes_s=notes_s, pages=notes["pages"], trafilatura=notes["trafilatura"]
        )

    def _variables(self) -> dict[str, str]:
        """Its environment: lists are unpacked once, below its own folder, and nothing is fetched."""
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        variables |= {"HF_ASSETS_CACHE": str(self.environment / "assets"), "HF_HUB_OFFLINE": "1"}
        if self.trafilatura == "same":
            variables["PYTHONPATH"] = str(self.environment / "trafilatura-same")
        return variables


def main() -> None:
    options = _options()
    inputs = files_of(options.input, (".warc.gz",))
    if len({path.name for path in inputs}) < len(inputs):
        raise SystemExit(f"{options.input}: two files of one name; tables of both sides could not be matched")
    recipe = load(str(RECIPE))
    peer = _peer(options, recipe)
    with tempfile.TemporaryDirectory(prefix="curation-") as name:
        figures = run(inputs, Path(name), recipe, peer, options.doomed)
    print_figures(figures)
    if options.json:
        print(json.dumps(figures))


def run(inputs: Sequence[Path], folder: Path, recipe: Recipe, peer: Peer, doomed_share: float) -> Figures:
    """All figures; `folder` takes what both sides write."""
    started = measure_start_up(folder, str(RECIPE), workers=1)
    one_each = [folder / "start-up-pages" / "start-up.warc.gz"]
    peer.run(one_each, folder / "peer-warm-up")
    peer_started = peer.run(one_each, folder / "peer-start-up")
    whole = measure(inputs, folder / "out", str(RECIPE), workers=1)
    peer_whole = peer.run(inputs, folder / "peer")
    places = responses(inputs)
    own, other = ours(folder / "out", places), theirs(peer_whole.pages, places)
    figures = {
        **costs(started, whole, peer_started, peer_whole, len(places)),
        "peer": {"trafilatura": peer_whole.trafilatura, "words": peer.words},
        **compare(own, other, text_judge(recipe), peer_judge(peer.stop_words)),
        "falconmix_keeps": sum(fate.kept for fate in own.values()),
        "datatrove_keeps": sum(fate.kept for fate in other.values()),
    }
    if not doomed_share:
        return figures
    doomed = {key for key in places.values() if not own[key].kept and not other[key].kept}
    repeated = write_doomed(inputs, doomed, doomed_share, folder / "doomed")
    whole = measure(repeated, folder / "out-doomed", str(RECIPE), workers=1)
    peer_whole = peer.run(repeated, folder / "peer-doomed")
    places = responses(repeated)
    return _with_doomed(
        figures,
        costs(started, whole, peer_started, peer_whole, len(places)),
        sum(fate.kept for fate in ours(folder / "out-doomed", places).values()) - figures["falconmix_keeps"],
        sum(fate.kept for fate in theirs(peer_whole.pages, places).values()) - figures["datatrove_keeps"],
        doomed_share,
    )


def costs(started: Cost, whole: Cost, peer_started: PeerRun, peer_whole: PeerRun, n_pages: int) -> Figures:
    """CPU milliseconds per page of both, by work, less what starting took, and the ratios."""
    stages = [cost.stats["cpu_seconds"]["by_stage"] for cost in (whole, started)]
    by_own = [work | _outside(cost.usage) for work, cost in zip(stages, (whole, started), strict=True)]
    own = _per_page(*by_own, whole.usage.working_s - started.usage.working_s, n_pages)
    spent = [one.usage.working_s - one.notes_s for one in (peer_whole, peer_started)]
    peer = _per_page(peer_whole.by_step_s, peer_started.by_step_s, spent[0] - spent[1], n_pages)
    peer_total, own_total = sum(peer.values()), sum(own.values())
    apart = sum(own.get(work, 0.0) for work in APART)
    return {
        "pages": n_pages,
        "ratio": peer_total / (own_total - apart),
        "ratio_with_output": peer_total / own_total,
        "falconmix": {
            "ms_per_page": own_total - apart,
            "by_work": {work: ms for work, ms in own.items() if work not in APART},
            "apart": {work: own.get(work, 0.0) for work in APART},
            "start_up_s": started.usage.total_s,
            "peak_rss_bytes": whole.usage.peak_rss_bytes,
        },
        "datatrove": {
            "ms_per_page": peer_total,
            "by_work": peer,
            "start_up_s": peer_started.usage.total_s,
            "peak_rss_bytes": peer_whole.usage.peak_rss_bytes,
        },
    }


def _outside(usage: Usage) -> dict[str, float]:
    """What no stage of falconmix accounts for, because it is spent in other processes than the worker and its child."""
    return {"driver": usage.cpu_s.get(DRIVER, 0.0) - usage.alone_s, "Ray": usage.cpu_s.get("ray", 0.0)}


def _per_page(after: dict[str, float], before: dict[str, float], spent_s: float, n_pages: int) -> dict[str, float]:
    by_work = {work: after[work] - before.get(work, 0.0) for work in after if work != "other"}
    by_work["everything else"] = spent_s - sum(by_work.values())
    return {work: 1000 * seconds / max(n_pages, 1) for work, seconds in by_work.items()}


def _with_doomed(plain: Figures, doomed: Figures, own_more: int, peer_more: int, share: float) -> Figures:
    """Costs of the repeated input in front, those of the input as given under a key of their own."""
    as_given = {name: plain[name] for name in doomed}
    more = {"falconmix": own_more, "datatrove": peer_more}
    return plain | doomed | {"doomed": share, "copies_kept": more, "as_given": as_given}


def print_figures(figures: Figures) -> None:
    for title, part in (("as given", figures.get("as_given", figures)), ("with doomed pages repeated", figures)):
        if title == "as given" or "as_given" in figures:
            print(f"\n{title}: {part['pages']:,} responses; CPU ms per page, start-up apart")
            _print_costs(part)
    print(f"\n{'':<28}{'falconmix':>10}{'datatrove':>10}")
    print(f"{'responses kept':<28}{figures['falconmix_keeps']:>10,}{figures['datatrove_keeps']:>10,}")
    print(f"{'by one alone':<28}{figures['kept_by_falconmix_alone']:>10,}{figures['kept_by_datatrove_alone']:>10,}")
    peer = figures["peer"]
    print(f"same decisions {figures['same_decisions']:.2%} of {figures['responses']:,} responses", end=", ")
    print(f"{figures['same_decisions_same_words']:.2%} with the same words", end=", ")
    print(f"{figures['same_decisions_same_texts']:.2%} with the same words and texts")
    print(f"same text {figures['same_text']:.2%} of {figures['kept_by_both']:,} kept by both", end=" ")
    print(f"(untidied {figures['same_text_untidied']:.2%}); trafilatura {peer['trafilatura']}, words: {peer['words']}")
    for name, n in figures["causes"].items():
        print(f"{n:>6}  {name}")


def _print_costs(part: Figures) -> None:
    for side in ("falconmix", "datatrove"):
        print(f"{side}: start-up {part[side]['start_up_s']:.0f} s once")
        for work, ms in part[side]["by_work"].items():
            print(f"  {work:<18}{ms:>8.2f}")
        print(f"  {'all':<18}{part[side]['ms_per_page']:>8.2f}")
    apart = ", ".join(f"{work} {ms:.2f}" for work, ms in part["falconmix"]["apart"].items())
    print(f"ratio {part['ratio']:.2f}; with what falconmix does besides ({apart}) {part['ratio_with_output']:.2f}")


def _peer(options: argparse.Namespace, recipe: Recipe) -> Peer:
    if not (options.peer_env / "bin" / "python").exists():
        raise SystemExit(f"{options.peer_env}: no environment of the peers; make it with `make bench-env`")
    lists = yaml.safe_load(resources.files("stages").joinpath("data/stop_words.yaml").read_text(encoding="utf-8"))
    return Peer(
        environment=options.peer_env,
        trafilatura=options.peer_trafilatura,
        words=options.peer_words,
        language_model=language_model_file(recipe),
        stop_words={language: words.split() for language, words in lists.items()},
    )


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share < 1:
        raise argparse.ArgumentTypeError(f"{share} is no share; give 0 to below 1")
    return share


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="a .warc.gz file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--doomed", type=_share, default=0.0, metavar="SHARE", help="share of pages that nobody keeps")
    parser.add_argument(
        "--peer-trafilatura", choices=("own", "same"), default="own", help="datatrove's own pin, or falconmix's version"
    )
    parser.add_argument(
        "--peer-words", choices=("spacy", "spaces"), default="spacy", help="datatrove's word tokenizers, or white space"
    )
    parser.add_argument("--peer-env", type=Path, default=PEER_ENVIRONMENT, help="default: build/bench-env")
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
