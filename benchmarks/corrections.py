"""What line-wise corrections and masking touch, by rule and language, and what they cost per page.

    python benchmarks/corrections.py --input OUT/work/extracted --json
    python benchmarks/corrections.py --input texts/ --chunk-words 300 --json

Reads `extracted` tables of a finished run (pages that passed its recipe) or JSON lines with `text` and `lang`, whole or
in pieces of so many words. CPU time is that of this process, its only one, for batches of 256 with kernels compiled.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from given import files_of
from stages.lines import RULES, LineRules, correct, filter_corrected, line_counts
from stages.pii import mask

BATCH = 256
Figures = dict[str, Any]


def main() -> None:
    options = _options()
    pages = read(files_of(options.input, (".parquet", ".jsonl")), options.chunk_words)
    if not pages.num_rows:
        raise SystemExit(f"{options.input}: no texts; name `work/extracted` of a run, or JSON lines with text and lang")
    rules = LineRules(max_upper_case_share=options.upper_case_share, flagged=options.flagged)
    figures = {"upper_case_share": options.upper_case_share, **measure(pages, rules), **cost(pages, rules)}
    print_figures(figures)
    if options.json:
        print(json.dumps(figures))


def read(files: list[Path], chunk_words: int) -> pa.RecordBatch:
    """All texts as a batch of `text` and `language`."""
    parts = [_extracted(path) if path.suffix == ".parquet" else _json_lines(path, chunk_words) for path in files]
    table = pa.concat_tables([part.cast(pa.schema({"text": pa.string(), "language": pa.string()})) for part in parts])
    return pa.RecordBatch.from_arrays([table[name].combine_chunks() for name in table.column_names], table.column_names)


def _extracted(path: Path) -> pa.Table:
    table = pq.read_table(path, columns=["text", "language", "verdict_stage"])
    # A run that corrects has dropped pages at that very step; it is asked again here.
    kept = pc.fill_null(pc.equal(table["verdict_stage"], "line_corrections"), True)
    return table.filter(kept).select(["text", "language"])


def _json_lines(path: Path, chunk_words: int) -> pa.Table:
    rows = [json.loads(line) for line in path.read_bytes().splitlines()]
    pieces = [(piece, row["lang"]) for row in rows for piece in _pieces(row["text"], chunk_words)]
    return pa.table({"text": [text for text, _ in pieces], "language": [language for _, language in pieces]})


def _pieces(text: str, n_words: int) -> Iterator[str]:
    if not n_words:
        yield text
        return
    words = list(re.finditer(r"\S+", text))
    for first, last in zip(words[::n_words], words[n_words - 1 :: n_words], strict=False):
        yield text[first.start() : last.end()]


def measure(pages: pa.RecordBatch, rules: LineRules) -> Figures:
    """Counts by language: texts, lines, lines by rule, texts changed and dropped, addresses masked."""
    corrected = correct(pages.column("text"), pages.column("language"), rules)
    masked = mask(corrected.text)
    dropped = filter_corrected(pages, corrected, rules).column("line_corrections").is_valid()
    columns = {
        "texts": np.ones(pages.num_rows),
        "lines": np.array([text.count("\n") + 1 for text in pages.column("text").to_pylist()]),
        "changed": _numpy(pc.not_equal(pages.column("text"), corrected.text)),
        "dropped": _numpy(dropped),
        "words": corrected.n_words,
        "flagged_words": corrected.flagged_words,
        "emails": masked.n_emails,
        "ips": masked.n_ips,
    }
    names = np.array(pages.column("language").to_pylist(), object)
    by_language = {
        name: {key: int(values[names == name].sum()) for key, values in columns.items()}
        for name in sorted(set(names.tolist()))
    }
    for name, counts in line_counts(corrected.lines, pages.column("language")).items():
        by_language[name]["by_rule"] = counts
    totals = {key: int(values.sum()) for key, values in columns.items()}
    rule_totals = {rule: int(lines.sum()) for rule, lines in corrected.lines.items()}
    return {"by_language": by_language, "all": {**totals, "by_rule": rule_totals}}


def cost(pages: pa.RecordBatch, rules: LineRules) -> Figures:
    """CPU milliseconds per page of both stages."""
    batches = [pages.slice(start, BATCH) for start in range(0, pages.num_rows, BATCH)]
    correct(batches[0].column("text"), batches[0].column("language"), rules)  # compiles for slices as well
    size_bytes = pc.sum(pc.binary_length(pages.column("text"))).as_py()
    started_s = time.process_time()
    for batch in batches:
        correct(batch.column("text"), batch.column("language"), rules)
    corrected_s = time.process_time()
    for batch in batches:
        mask(batch.column("text"))
    masked_s = time.process_time()
    return {
        "bytes_per_page": round(size_bytes / pages.num_rows),
        "correct_ms_per_page": (corrected_s - started_s) / pages.num_rows * 1e3,
        "mask_ms_per_page": (masked_s - corrected_s) / pages.num_rows * 1e3,
    }


def print_figures(figures: Figures) -> None:
    """A table: shares of texts and lines, then lines by rule."""
    print(f"{'':5}{'texts':>7}{'changed':>9}{'dropped':>9}{'lines':>8}{'flagged words':>15}  lines by rule")
    for name, counts in [*figures["by_language"].items(), ("all", figures["all"])]:
        n = counts["texts"]
        rules = {rule: counts.get("by_rule", {}).get(rule, 0) for rule in RULES}
        row = f"{name:5}{n:7,}{counts['changed'] / n:9.1%}{counts['dropped'] / n:9.2%}{counts['lines']:8,}"
        row += f"{counts['flagged_words'] / max(counts['words'], 1):15.2%}  "
        print(row + ", ".join(f"{rule} {amount}" for rule, amount in rules.items() if amount))
    print(f"masked: {figures['all']['emails']} e-mail addresses, {figures['all']['ips']} IP addresses")
    print(f"{figures['correct_ms_per_page']:.3f} ms a page of {figures['bytes_per_page']:,} bytes to correct", end="")
    print(f", {figures['mask_ms_per_page']:.3f} to mask")


def _numpy(mask_: pa.Array) -> np.ndarray:
    return mask_.to_numpy(zero_copy_only=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="a file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--chunk-words", type=int, default=0, help="cut JSON lines into pieces of so many words")
    parser.add_argument("--upper-case-share", type=float, default=LineRules().max_upper_case_share)
    parser.add_argument("--flagged", choices=("lines", "removed"), default="lines")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
