"""Writes the sample crawl: WARC files in Common Crawl's layout, composed from the texts in `pages/`.

Example: python examples/make_sample.py build/demo/warc
"""

import argparse
from itertools import chain
from pathlib import Path

from sample import captures, junk, oddities
from sample.captures import Capture, Library
from sample.warc import write_sample

EXAMPLES = Path(__file__).resolve().parent

RECIPES = (
    captures.articles,
    captures.shared_passages,
    captures.exact_copies,
    captures.recaptures,
    captures.near_copies,
    captures.far_copies,
    captures.excerpts,
    junk.spam,
    junk.gibberish,
    junk.repeated_lines,
    junk.list_only,
    junk.hashtags,
    junk.shouting,
    junk.tiny,
    junk.bare,
    junk.no_content,
    junk.furniture,
    junk.opted_out,
    oddities.charsets,
    oddities.codings,
    oddities.languages,
    oddities.listed_domain,
    oddities.other_media,
    oddities.statuses,
    oddities.broken,
)


def compose(examples: Path = EXAMPLES) -> list[Capture]:
    """All captures of the sample, in the order of their fetch."""
    library = Library.load(examples)
    return list(chain.from_iterable(recipe(library) for recipe in RECIPES))


def main() -> None:
    """Parse the command line and write the sample."""
    parser = argparse.ArgumentParser(
        description="Write the sample crawl as WARC files, the same bytes on every run.",
        epilog="example: python examples/make_sample.py build/demo/warc",
    )
    parser.add_argument("output", type=Path, metavar="OUTPUT_DIR", help="folder for the WARC files and captures.json")
    output: Path = parser.parse_args().output
    composed = compose()
    paths = write_sample(composed, output)
    print(f"{len(composed)} captures in {len(paths)} files under {output}")


if __name__ == "__main__":
    main()
