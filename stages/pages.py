"""One page from bytes to main text: what a guarded process does for each capture, cheap before dear.

bytes → text (`stages.charset`) → limits and visible words (`stages.visible`) → languages of the visible text →
main content (`stages.extract`) → language of the main content. The two gates before extraction may only drop what
later rules would have dropped:

- `too_few_words`: the quality rules want 50 words (Gopher). An extractor returns words of the page and, trafilatura
  alone, table bars and list marks; `Visible.words_at_most` counts all of them, so a page below 50 there stays below
  50, and tidy-up only takes words out.
- `no_wanted_language`: the main content must score 0.65 in a wanted language, as a whole. A page is dropped where no
  window of its visible text gives all wanted languages together even a twentieth; windows lie end to end up to 32,000
  characters and are spread evenly beyond. Those with hardly a Latin letter are passed over: all wanted languages are
  written in Latin script. That is evidence, not proof: a main text of a few lines in a page of hundreds of lines in
  another script could be missed.

Where the extractor reads embedded JSON, a page that has such text passes both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from stages.charset import Decoded, decode
from stages.extract import Extractor, ExtractorName, extractor, tidy
from stages.language import ELEVEN, LanguageModel, identify, latin_share
from stages.opt_out import Signal, of_meta_tags
from stages.schema import REJECT_TEXT_CHARS
from stages.second_opinion import Identified, identify_with_words, load_word_evidence
from stages.verdicts import Verdict
from stages.visible import PageLimits, Visible, beyond_limits, has_hidden_text, measure

EARLY_STAGES = ("limits", "visible", "early_language")
"""Steps that stop a page before its main text is known."""

_ALL_LANGUAGES = 200  # the model knows 176; asks for every probability


@dataclass(frozen=True, kw_only=True)
class EarlyLanguage:
    """How the visible text is sampled: up to `windows` pieces of `window_chars` characters."""

    windows: int = 32
    window_chars: int = 1000
    min_share: float = 0.05
    """Probability of all wanted languages together that a window must give for the page to pass."""


@dataclass(frozen=True, kw_only=True)
class PageRules:
    """Settings of the page reader. Without `pre_gates` every page within `limits` is extracted."""

    languages: tuple[str, ...] = ELEVEN
    second_opinion: bool = True
    """Whether words have a say in the main text's language; without them it is the model's answer, as in the paper."""
    extractor: ExtractorName = "trafilatura"
    favor_precision: bool = True
    """trafilatura's: less text, and none from embedded JSON."""
    limits: PageLimits = field(default_factory=PageLimits)
    pre_gates: bool = True
    min_words: int = 50
    """The quality rules' minimum: raising this above it loses pages."""
    early_language: EarlyLanguage = field(default_factory=EarlyLanguage)


@dataclass(frozen=True)
class Page:
    """What the reader needs of a capture; `record_type` is the WARC-Type."""

    url: str
    payload: bytes
    http_charset: str
    content_type: str
    record_type: str


@dataclass(frozen=True)
class PageResult:
    """What became of a page: its main text and language, or the step that stopped it and its verdict.

    `text` of a page stopped before extraction is the beginning of its visible text. `visible_chars`: length of that
    text in all. `opt_out`: signals of its meta tags.
    """

    text: str = ""
    charset: str = ""
    language: str | None = None
    language_score: float | None = None
    decided_by: str | None = None
    stage: str | None = None
    verdict: Verdict | None = None
    visible_chars: int = 0
    opt_out: frozenset[Signal] = frozenset()


class PageReader:
    """Reads pages one by one, keeping nothing between them; any exception becomes a verdict `error:<name>`."""

    def __init__(self, rules: PageRules, model: LanguageModel, main_content: Extractor | None = None) -> None:
        self._rules = rules
        self._model = model
        self._evidence = load_word_evidence() if rules.second_opinion else None
        self._main_content = main_content or extractor(rules.extractor, favor_precision=rules.favor_precision)

    def __call__(self, page: Page) -> PageResult:
        """Return what became of `page`; raises nothing that is an Exception."""
        try:
            return self._read(page)
        except Exception as error:
            return PageResult(
                stage="extract", verdict=Verdict(f"error:{type(error).__name__}", detail=str(error)[:200])
            )

    def _read(self, page: Page) -> PageResult:
        decoded = decode(page.payload, page.http_charset)
        if len(decoded.text) > (limit := self._rules.limits.max_chars):
            verdict = Verdict("chars", len(decoded.text), limit)
            return PageResult(decoded.text[:REJECT_TEXT_CHARS], decoded.charset, stage="limits", verdict=verdict)
        if page.record_type == "conversion":  # text already (WET)
            return self._identified(decoded.text, decoded.charset, len(decoded.text))
        visible = measure(decoded.text)
        return replace(self._main(page, decoded, visible), opt_out=frozenset(of_meta_tags(visible.metas)))

    def _main(self, page: Page, decoded: Decoded, visible: Visible) -> PageResult:
        if stopped := self._early(visible, decoded.text):
            stage, verdict = stopped
            text = visible.text[:REJECT_TEXT_CHARS]
            return PageResult(text, decoded.charset, stage=stage, verdict=verdict, visible_chars=len(visible.text))
        text = self._main_content.extract(decoded.text, page.url)
        return self._identified(text, decoded.charset, len(visible.text))

    def _identified(self, raw: str, charset: str, visible_chars: int) -> PageResult:
        text = tidy(raw.encode("utf-8", "replace").decode("utf-8"))  # parsers let lone surrogates through
        if not text:
            return PageResult("", charset, stage="extract", verdict=Verdict("no_text"), visible_chars=visible_chars)
        language, score, decided_by = self._language_of(text)
        return PageResult(text, charset, language, score, decided_by, visible_chars=visible_chars)

    def _language_of(self, text: str) -> Identified:
        if self._evidence:
            return identify_with_words(text, self._model, self._evidence)
        return Identified(*identify(text, self._model), "model")

    def _early(self, visible: Visible, html: str) -> tuple[str, Verdict] | None:
        """The step that stops a page before extraction, and why."""
        if beyond := beyond_limits(visible, self._rules.limits):
            return "limits", Verdict(*beyond)
        if not self._rules.pre_gates or (self._main_content.reads_json and has_hidden_text(html)):
            return None
        bound = visible.words_at_most
        if bound is not None and bound < self._rules.min_words:
            return "visible", Verdict("too_few_words", bound, self._rules.min_words)
        verdict = self._no_wanted_language(visible.text)
        return ("early_language", verdict) if verdict else None

    def _no_wanted_language(self, text: str) -> Verdict | None:
        settings, best, top = self._rules.early_language, 0.0, None
        for number, window in enumerate(_windows(text, settings)):
            if number and latin_share(window) < settings.min_share:
                continue
            language, share = self._wanted_share(window)
            if share >= settings.min_share:
                return None
            top = top or language
            best = max(best, share)
        return Verdict("no_wanted_language", best, settings.min_share, top or None)

    def _wanted_share(self, window: str) -> tuple[str, float]:
        """The likeliest language of `window`, and what the wanted ones have at most together.

        The whole ranking is asked for only where the first place does not settle it.
        """
        language, score = identify(window, self._model)
        if not language:
            return "", 0.0
        if language in self._rules.languages:
            return language, score
        if (rest := 1.0 - score) < self._rules.early_language.min_share:
            return language, rest
        ranking = self._model.predict(window, _ALL_LANGUAGES)
        return language, sum(score for language, score in ranking if language in self._rules.languages)


def _windows(text: str, settings: EarlyLanguage) -> Iterator[str]:
    """Pieces of `text`: end to end where they cover it, else spread evenly."""
    pieces = -(-len(text) // settings.window_chars)
    n = max(1, min(pieces, settings.windows))
    step = max(settings.window_chars, len(text) // n)
    for i in range(n):
        yield text[i * step : i * step + settings.window_chars]
