"""Figures of the benchmarks as Markdown, for `docs/benchmarks.md`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

Figures = dict[str, Any]

WORKS = {
    "reading": ("read",),
    "status, address": ("gates", "url_filter"),
    "page: early gates, extraction, language": ("pages", "extract", "language_filter"),
    "text: repetition, quality": ("text", "repetition", "quality"),
    "Ray's own processes": ("Ray",),
    "driver": ("driver",),
    "everything else": ("everything else",),
}
"""What both sides do, by the names that either has for it."""


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; an empty cell for None."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join("" if cell is None else str(cell) for cell in line) + " |" for line in lines)


def with_part(document: str, name: str, text: str) -> str:
    """The document with what stands between `<!-- begin NAME -->` and `<!-- end NAME -->` written anew.

    Raises ValueError where it has no such part.
    """
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
    part = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not part.search(document):
        raise ValueError(f"no part for {name}; add the lines {begin.strip()} and {end}")
    return part.sub(lambda _: f"{begin}{text}\n{end}", document)


def curation(figures: Figures) -> str:
    """Costs of both sides, their ratios, what they decide, and why they differ."""
    parts = [("as given", figures.get("as_given", figures))]
    if "as_given" in figures:
        parts.append((f"{_percent(figures['doomed'], 0)} doomed", figures))
    headings = ["CPU ms a response"]
    headings += [f"{side}, {title}" for title, _ in parts for side in ("falconmix", "datatrove")]
    sides = [part[side] for _, part in parts for side in ("falconmix", "datatrove")]
    cells = {name: [_ms(_sum_of(side["by_work"], works)) for side in sides] for name, works in WORKS.items()}
    rows = [[name, *row] for name, row in cells.items() if any(row)]
    rows.append(["**all**", *(f"**{_ms(side['ms_per_page'])}**" for side in sides)])
    rows.append(["apart: write, deduplicate, publish", *(_ms(_apart(side)) for side in sides)])
    ratios = [
        f"{title}: {part['pages']:,} responses, **ratio {part['ratio']:.2f}** "
        f"({part['ratio_with_output']:.2f} with falconmix's writing, deduplicating and publishing counted)"
        for title, part in parts
    ]
    own, peer = figures["falconmix"], figures["datatrove"]
    start_up = f"Start-up, once a run: falconmix {own['start_up_s']:.0f} CPU s, datatrove {peer['start_up_s']:.0f}."
    return "\n\n".join([table(headings, rows), "; ".join(ratios) + ".", start_up, _decisions(figures)])


def _decisions(figures: Figures) -> str:
    peer = figures["peer"]
    words = "spaCy's words" if peer["words"] == "spacy" else "words split at white space"
    text = (
        f"datatrove with trafilatura {peer['trafilatura']} and {words}: of {figures['responses']:,} responses "
        f"falconmix keeps {figures['falconmix_keeps']:,}, datatrove {figures['datatrove_keeps']:,}; **same decision on "
        f"{_percent(figures['same_decisions'], 2)}**. Same text on {_percent(figures['same_text'], 2)} of the "
        f"{figures['kept_by_both']:,} kept by both ({_percent(figures['same_text_untidied'], 2)} before datatrove's is "
        "tidied as falconmix's is)."
    )
    if "same_decisions_same_texts" in figures:
        text += (
            f" Asked again for the texts that datatrove extracted, with words split at white space on both sides, the "
            f"rules alone decide the same on **{_percent(figures['same_decisions_same_texts'], 2)}** of them."
        )
    causes = table(["why decisions differ", "responses"], figures["causes"].items())
    return f"{text}\n\n{causes}" if figures["causes"] else text


def cascade(figures: Figures) -> str:
    """Survivors, and costs of both readings."""
    early = ", ".join(f"`{stage}` {n}" for stage, n in figures["stopped_early"].items())
    rows = [
        [name.replace("_", " "), *(_ms(costs[kind]) for kind in ("surviving", "doomed", "as_given", "all"))]
        for name, costs in figures["ms_per_page"].items()
    ]
    given = f"all, {_percent(figures['doomed_as_given'], 0)} doomed"
    headings = ["CPU ms a page", "surviving", "doomed", given, f"all, {_percent(figures['doomed'], 0)} doomed"]
    return (
        f"{figures['pages']:,} pages, stopped before extraction: {early}. Survivors: "
        f"{figures['survivors_with_gates']:,} with the gates, {figures['survivors_without_gates']:,} without; "
        f"**{figures['lost']} lost**, which is at most {_percent(figures['lost_at_most'], 2)} of survivors (one-sided "
        "95 %).\n\n"
        f"{table(headings, rows)}\n\nThe gates save a factor of {figures['ratio_as_given']:.2f} on the pages as given, "
        f"{figures['ratio']:.2f} with {_percent(figures['doomed'], 0)} doomed."
    )


def curation_cost(figures: Figures) -> str:
    """Cost by work, the funnel, and memory by kind of process."""
    rows = [[work, f"{ms:.2f}"] for work, ms in sorted(figures["ms_per_page"].items(), key=lambda item: -item[1])]
    rows.append(["**all**", f"**{figures['ms_per_page_total']:.1f}**"])
    funnel = [[step["stage"], f"{step['in']:,}", f"{step['out']:,}"] for step in figures["funnel"]]
    run, start_up = figures["run"], figures["start_up"]
    peaks_mb = {role: f"{size / 1e6:.0f}" for role, size in run["peak_rss_bytes"].items()}
    processes = [
        [role, f"{cpu_s:.1f}", f"{start_up['cpu_s'][role]:.1f}", peaks_mb[role]] for role, cpu_s in run["cpu_s"].items()
    ]
    tables = [
        table(["work", "CPU ms a page"], rows),
        table(["process", "CPU s", "of a start alone", "peak MB"], processes),
        table(["step", "pages in", "pages out"], funnel),
    ]
    return "\n\n".join([f"{figures['pages']:,} pages in, {figures['published']:,} documents out.", *tables])


def urls(figures: Figures) -> str:
    """Cost of the parts of the URL stage."""
    parts = {
        "canonical form of a column": "canonical_us",
        "canonical form of each in Python": "canonical_python_us",
        "block list": "block_list_us",
        "curated sources": "curated_us",
        "words": "words_us",
        "**whole stage**": "all_us",
    }
    costs = table(["part", "CPU µs an address"], [[part, f"{figures[key]:.1f}"] for part, key in parts.items()])
    judged = f"{figures['urls']:,} addresses, {figures['judged']:,} judged in batches as in a run, the best of rounds."
    speed = f"{figures['urls_per_second']:,.0f} addresses a second and core"
    return f"{judged}\n\n{costs}\n\n{speed}; the block list, once a run: {figures['compile_block_list_s']:.1f} CPU s."


def survival(figures: Figures) -> str:
    """What became of pages whose gold text passes."""
    text = (
        f"{figures['good']:,} gold texts pass the rules; of their pages **{_percent(figures['share'], 1)} survive** "
        f"from HTML to parquet: {figures['published']:,} published, {figures['copies']:,} copies of pages that are "
        f"kept, {figures['lost']:,} lost."
    )
    return f"{text}\n\n{table(['lost by', 'pages'], figures['by_rule'].items())}"


def fuzz(figures: Figures) -> str:
    """What became of mutated pages."""
    errors = ", ".join(f"`{name}` {n:,}" for name, n in figures["errors"].items()) or "none"
    return (
        f"{figures['pages']:,} mutated pages, {figures['read']:,} read by the reader: **{figures['crashes']:,} "
        f"crashes**; verdicts that name an exception: {errors}; {figures['kept']:,} kept. "
        f"{figures['cpu_ms']:.1f} CPU ms a page."
    )


def extraction(figures: Figures) -> str:
    """Cost and quality of each extractor."""
    rows = [
        [
            name,
            f"{row['ms_per_page']:.1f}",
            f"{row['times_faster']:.2f}",
            _percent(row["same"], 1),
            _quality(row["all"]),
            _quality(row["real"]),
        ]
        for name, row in figures["extractors"].items()
    ]
    headings = ["extractor", "CPU ms a page", "times faster", "same text", "precision / recall / F1", "on real pages"]
    pages = f"{figures['pages']:,} HTML pages, {figures['gold_pages']:,} of them with a gold text; 4-word shingles."
    return f"{pages}\n\n{table(headings, rows)}"


def langid(figures: Figures) -> str:
    """Precision and recall of both rules."""
    rows = [
        ["fastText alone (the paper's)", f"{figures['plain_precision']:.4f}", f"{figures['plain_recall']:.4f}"],
        ["**with a second opinion by words**", f"**{figures['precision']:.4f}**", f"**{figures['recall']:.4f}**"],
    ]
    return f"{figures['texts']:,} texts.\n\n{table(['rule', 'precision', 'recall'], rows)}"


def decontamination(figures: Figures) -> str:
    """Cost of a document on both sides and beside tokenising."""
    rows = [
        ["falconmix", f"{figures['us_per_document']:.0f}", f"{figures['index_s']:.1f}"],
        ["plain Python, a set of tuples", f"{figures['plain_us_per_document']:.0f}", f"{figures['plain_index_s']:.1f}"],
        ["tokenising", f"{figures['tokenising_us_per_document']:,.0f}", None],
    ]
    return (
        f"{figures['documents']:,} documents, {figures['mb']:.1f} MB, {figures['items']:,} items with "
        f"{figures['ngrams']:,} different 13-grams: {figures['contaminated']} documents, {figures['hits']:,} places, "
        f"the same on both sides.\n\n{table(['', 'CPU µs a document', 'index, CPU s'], rows)}\n\n"
        f"**{figures['ratio']:.0f} times** less than plain Python; {_percent(figures['share_of_tokenising'], 1)} of "
        "tokenising the same documents."
    )


def tokens(figures: Figures) -> str:
    """Tokens per second on both sides, and whether their ids are the same."""
    rows = [
        ["**falconmix**", f"{figures['falconmix_tokens_per_s'] / 1e6:.2f}"],
        ["Hugging Face's tokenizers", f"{figures['huggingface_tokens_per_s'] / 1e6:.2f}"],
    ]
    same = "the same ids for **all**" if figures["same"] else f"other ids for **{figures['differing_texts']}**"
    return "\n\n".join(
        [
            table(["one core", "million tokens a CPU second"], rows),
            f"**ratio {figures['ratio']:.1f}** (goal {figures['goal']:.0f}); {same} of {figures['texts']:,} texts, "
            f"{figures['tokens']:,} tokens.",
            f"The proof, once a tokenizer: {figures['proof_cpu_s']:.0f} CPU s; starting from its verdict: "
            f"{figures['start_cpu_s']:.1f}.",
        ]
    )


def corrections(figures: Figures) -> str:
    """Shares of texts and words that corrections touch, and their cost."""
    counts = figures["all"]
    shares = [
        _percent(counts["changed"] / counts["texts"], 1),
        _percent(counts["dropped"] / counts["texts"], 2),
        _percent(counts["flagged_words"] / counts["words"], 2),
        f"{figures['correct_ms_per_page']:.3f}",
        f"{figures['mask_ms_per_page']:.3f}",
    ]
    headings = ["texts", "changed", "dropped", "words flagged", "CPU ms to correct", "CPU ms to mask"]
    return table(headings, [[f"{counts['texts']:,}", *shares]])


def dedup(figures: Figures) -> str:
    """Costs of all sides per document, recall, and the ratios beside their goals."""
    n = figures["documents"]
    rensa, spans, own = figures["rensa"], figures["substrings"], figures["search"]
    signatures = [["**falconmix, from the text**", _us(figures["signature_s"], n)]]
    signatures += [[f"datatrove, words by {words}", _us(of["signature_s"], n)] for words, of in _datatrove(figures)]
    signatures += [
        ["rensa, from the text by strings of five words", _us(rensa["text_s"], n)],
        ["rensa, from the text by single words", _us(rensa["words_s"], n)],
        ["rensa, `update` and `digest` alone, strings made before", _us(rensa["update_s"], n)],
        ["rensa, the same for all at once", _us(rensa["batch_s"], n)],
    ]
    searches = [[f"**falconmix, `{own['preset']}`**", *_search(own | {"recall": figures["recall"]}, n)]]
    searches += [[f"datatrove, words by {words}", *_search(of, n)] for words, of in _datatrove(figures)]
    passages = [
        ["**falconmix, whole pass**", f"{spans['falconmix_s']:.2f}"],
        ["pydivsufsort, suffix array alone", f"{spans['pydivsufsort_s']:.2f}"],
    ]
    ratios = [[f"`{name}`", f"**{figures[name]:.1f}**", f"{goal:.0f}"] for name, goal in figures["goals"].items()]
    same = "the same words covered" if figures["same_spans"] else "**other words covered**"
    return "\n\n".join(
        [
            f"{n:,} documents of {figures['mean_words']:.0f} words on average, {figures['text_bytes'] / 1e6:.0f} MB; "
            f"{figures['planted']['pairs']:,} planted pairs, {figures['similar_pairs']:,} of J ≥ .8.",
            table(["ratio", "is", "goal"], ratios),
            table(["signatures of 112 functions", "CPU µs a document"], signatures),
            table(
                ["near-duplicate search", "CPU µs a document", "recall", "in", "out", "start-up, CPU s"],
                searches,
            ),
            table([f"exact substrings, {spans['words_covered']:,} words covered", "CPU s"], passages),
            f"Both find {same}.",
        ]
    )


def dedup_scale(figures: Figures) -> str:
    """Cost per document, memory and recall by size."""
    headings = ["documents", "CPU µs a document", "largest task, MB", "driver, MB", "bytes handed on, a document"]
    rows = [
        [
            f"{run['documents']:,}",
            f"{run['cpu_us_per_document']:,.0f}",
            f"{run['peak_task_mb']:,.0f}",
            f"{run['driver_mb']:,.0f}",
            f"{run['exchanged_bytes_per_document']:,.0f}",
            f"{run['recall']:.4f}",
        ]
        for run in figures["runs"]
    ]
    return "\n\n".join(
        [
            table([*headings, "recall"], rows),
            f"Dearest over cheapest: **{figures['cpu_per_document_ratio']:.2f}** (goal 1.3). Starting takes "
            f"{figures['start_up_s']:.0f} CPU s, once a run. [What follows for whole dumps](scale.md).",
        ]
    )


def loader(figures: Figures) -> str:
    """Tokens a second by context beside a mapped file, and the demo's step."""
    headings = ["context", "M tokens a CPU s", "µs a sequence", "memmap: M tokens a CPU s", "µs a window", "ratio"]
    rows = [
        [
            f"{row['context']:,}",
            f"{row['falconmix']['tokens_per_cpu_s'] / 1e6:,.1f}",
            f"{row['falconmix']['us_per_sequence']:.1f}",
            f"{row['memmap']['tokens_per_cpu_s'] / 1e6:,.1f}",
            f"{row['memmap']['us_per_sequence']:.1f}",
            f"{row['ratio']:.2f}",
        ]
        for row in figures["contexts"]
    ]
    demo = figures["demo"]
    store = figures["store"]
    given, taken = demo["loader_tokens_per_cpu_s"] / 1e6, demo["step_tokens_per_cpu_s"] / 1e6
    return "\n\n".join(
        [
            table(headings, rows),
            f"{figures['shards']:,} token files. The demo's step is given {given:.1f} M tokens a CPU second and trains "
            f"on {taken:.3f} M: **{demo['ratio']:.0f} times** (goal 10).",
            f"From an object store that answers after {store['latency_ms']:.0f} ms, by ranges, {store['at_once']} at "
            f"once: {store['windows_per_s']:,.0f} windows of 2,048 tokens a second.",
        ]
    )


def trainer_gpu(figures: Figures) -> str:
    """Each variant's step by context, and ours beside the peer's."""
    headings = ["context", "variant", "ms a step", "tokens/s", "MFU", "peak GB", "first loss"]
    rows = [
        [row["context"], of["variant"], of["error"]]
        if "error" in of
        else [
            f"{row['context']:,}",
            of["variant"],
            f"{of['ms']:,.1f}",
            f"{of['tokens_per_s']:,.0f}",
            None if of["mfu"] is None else f"{of['mfu']:.1%}",
            None if of["peak_bytes"] is None else f"{of['peak_bytes'] / 1e9:.1f}",
            f"{of['first_loss']:.4f}",
        ]
        for row in figures["contexts"]
        for of in row["variants"]
    ]
    ratios = [f"{row['context']:,}: {row['ratio']:.2f}" for row in figures["contexts"] if row["ratio"] is not None]
    of_peak = (
        f"MFU of {figures['mfu_of'] / 1e12:g} TFLOP/s: {figures['convention']}." if figures["mfu_of"] else "No MFU."
    )
    return "\n\n".join(
        [
            f"{figures['device']}, torch {figures['torch']}; {figures['blocks']} blocks of width "
            f"{figures['hidden']:,}, {figures['parameters'] / 1e9:.2f} G parameters.",
            table(headings, ([*row, *[None] * (len(headings) - len(row))] for row in rows)),
            f"{of_peak} Our fastest in bf16 beside the peer's: **{'; '.join(ratios) or 'none'}** "
            "(goals: 1.3, and at 8,192 an MFU of 50 %).",
        ]
    )


def schedule(figures: Figures) -> str:
    """Milliseconds of a seek, and the stages against their budgets."""
    seek = figures["seek"]
    headings = ["first after opening, ms", "min", "median", "p99", "max", "max, CPU time"]
    names = ("first_ms", "min_ms", "median_ms", "p99_ms", "max_ms", "max_cpu_ms")
    stages = [
        [row["stage"], f"{row['context']:,}", f"{row['sequences']:,}", f"{row['tokens']:,}", f"{row['over']:,}"]
        for row in figures["stages"]
    ]
    return "\n\n".join(
        [
            f"{figures['sequences']:,} sequences over {figures['shards']:,} token files of "
            f"{figures['tokens_in_shards'] / 1e12:.2f} T tokens, opened in {figures['opening_s']:.1f} s.",
            table(headings, [[f"{seek[name]:.3f}" for name in names]]),
            table(["stage", "context", "sequences", "tokens", "over its budget"], stages),
        ]
    )


def _datatrove(figures: Figures) -> Iterable[tuple[str, Figures]]:
    names = {"spacy": "spaCy", "spaces": "white space"}
    return [(names[words], of) for words, of in figures["datatrove"].items()]


def _search(side: Figures, n: int) -> list[str]:
    counts = [f"{side['documents']:,}", f"{side['kept']:,}", f"{side['start_up_s']:.1f}"]
    return [_us(side["search_s"], n), f"{side['recall']:.4f}", *counts]


def _us(seconds: float, n: int) -> str:
    return f"{1e6 * seconds / n:,.1f}"


def _sum_of(by_work: Figures, works: Sequence[str]) -> float | None:
    found = [by_work[work] for work in works if work in by_work]
    return sum(found) if found else None


def _ms(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f}"


def _percent(share: float, decimals: int) -> str:
    return f"{100 * share:.{decimals}f} %"


def _apart(side: Figures) -> float | None:
    return sum(side["apart"].values()) if "apart" in side else None


def _quality(scores: Figures | None) -> str | None:
    return " / ".join(f"{value:.3f}" for value in scores.values()) if scores else None
