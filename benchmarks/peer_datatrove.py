"""datatrove's side of `benchmarks/curation.py`; runs in the peers' own environment (`make bench-env`).

    build/bench-env/bin/python benchmarks/peer_datatrove.py settings.json

One task of `LocalPipelineExecutor` with one worker: WarcReader, URLFilter, Trafilatura with precision, LanguageFilter,
GopherRepetitionFilter, GopherQualityFilter, in that order. The Gopher filters are one per language with that language's
word tokenizer and stop words; a page goes to those of the language that LanguageFilter found, as it would after writing
one folder per language. No writer: kept and dropped pages are noted in memory, under a clock of its own.

Settings: `inputs` (a folder of WARC files), `output` (the file to write), `work` (a scratch folder), `language_model`,
`stop_words` (by language), `words` (`spacy`: datatrove's assignment; `spaces`: runs of non-white characters),
`timeout_s` (of one extraction; datatrove's default of one second of *wall* time makes results depend on the machine).
"""

from __future__ import annotations

import json
import resource
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tldextract
from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.extractors import Trafilatura
from datatrove.pipeline.filters import (
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
    URLFilter,
)
from datatrove.pipeline.filters.base_filter import BaseFilter
from datatrove.pipeline.readers import WarcReader

from peer_words import SpacedWords

Settings = dict[str, Any]
Mark = Callable[..., Iterator[Document]]


class CpuClock:
    """CPU time by owner: user and system of this process, and of children once they have been waited for."""

    def __init__(self) -> None:
        self.spent_s: Counter[str] = Counter()
        self._owner = "other"
        self._since_s = _cpu_s()

    def switch(self, owner: str) -> str:
        """Charge the time since the last switch to whoever had it; return who that was."""
        now_s = _cpu_s()
        self.spent_s[self._owner] += now_s - self._since_s
        before, self._owner, self._since_s = self._owner, owner, now_s
        return before


class Notes:
    """What became of each page; also serves the filters as the writer of what they drop."""

    def __init__(self, clock: CpuClock) -> None:
        self.pages: dict[str, dict[str, Any]] = {}
        self._clock = clock

    def passed(self, doc: Document, step: str) -> None:
        page = self.pages.setdefault(doc.id, {"file": Path(doc.metadata["file_path"]).name, "url": doc.metadata["url"]})
        page["passed"] = step
        if step not in ("read", "url_filter"):
            page["text"], page["language"] = doc.text, doc.metadata.get("language")

    def write(self, doc: Document, rank: int) -> None:  # noqa: ARG002 - a DiskWriter's signature
        before = self._clock.switch("notes")
        self.pages[doc.id]["reason"] = doc.metadata.get("filter_reason")
        self._clock.switch(before)

    def __enter__(self) -> Notes:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __deepcopy__(self, _: object) -> Notes:  # the executor copies its steps
        return self


class ByLanguage(BaseFilter):
    """Gives each page to the filter of its language."""

    name = "by language"

    def __init__(self, filters: dict[str, BaseFilter], notes: Notes) -> None:
        super().__init__(notes)
        self._filters = filters

    def filter(self, doc: Document) -> bool | tuple[bool, str]:
        return self._filters[doc.metadata["language"]].filter(doc)


def main() -> None:
    settings: Settings = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    clock = CpuClock()
    notes = Notes(clock)
    steps: list[Any] = []
    for name, step in build(settings, notes).items():
        steps += [step, marker(name, clock, notes)]
    executor = LocalPipelineExecutor(steps, tasks=1, workers=1, logging_dir=settings["work"], skip_completed=False)
    executor.run()
    clock.switch("notes")
    figures = {"pages": notes.pages, "cpu_s": dict(clock.spent_s), "trafilatura": _version("trafilatura")}
    Path(settings["output"]).write_text(json.dumps(figures), encoding="utf-8")
    clock.switch("other")
    print(json.dumps({"notes_s": clock.spent_s["notes"]}))


def build(settings: Settings, notes: Notes) -> dict[str, Any]:
    """The steps by name, in their order."""
    stop_words: dict[str, list[str]] = settings["stop_words"]
    words = {language: SpacedWords() if settings["words"] == "spaces" else language for language in stop_words}
    urls = URLFilter(exclusion_writer=notes)
    urls.tldextractor = tldextract.TLDExtract(suffix_list_urls=())  # the snapshot that the package carries
    languages = LanguageFilter(languages=list(stop_words), language_threshold=0.65, exclusion_writer=notes)
    languages.model.MODEL_URL = settings["language_model"]
    repetition = {name: GopherRepetitionFilter(language=words[name]) for name in stop_words}
    quality = {name: GopherQualityFilter(language=words[name], stop_words=stop_words[name]) for name in stop_words}
    return {
        "read": WarcReader(settings["inputs"], glob_pattern="*.warc.gz"),
        "url_filter": urls,
        "extract": Trafilatura(favour_precision=True, deduplicate=False, timeout=settings["timeout_s"]),
        "language_filter": languages,
        "repetition": ByLanguage(repetition, notes),
        "quality": ByLanguage(quality, notes),
    }


def marker(name: str, clock: CpuClock, notes: Notes) -> Mark:
    """A step that charges what the one before it spends to `name`, and notes the pages that pass."""

    def mark(data: Iterator[Document], rank: int = 0, world_size: int = 1) -> Iterator[Document]:  # noqa: ARG001
        while True:
            before = clock.switch(name)
            doc = next(data, None)
            clock.switch("notes")
            if doc is not None:
                notes.passed(doc, name)
            clock.switch(before)
            if doc is None:
                return
            yield doc

    return mark


def _cpu_s() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _version(package: str) -> str:
    return str(__import__(package).__version__)


if __name__ == "__main__":
    main()
