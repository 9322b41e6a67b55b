"""How a command is declared: its parser, with an example in `--help`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

Run = Callable[[argparse.Namespace], int]
Commands = Any
"""What `ArgumentParser.add_subparsers` returns; its type has no public name."""


def add(commands: Commands, name: str, run: Run, summary: str, example: str) -> argparse.ArgumentParser:
    """Declare a command and return its parser for the arguments."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def add_engine(command: argparse.ArgumentParser) -> None:
    """The options of commands that run on Ray."""
    command.add_argument("--workers", type=_positive, metavar="N", help="units worked on at once (default: all cores)")
    command.add_argument(
        "--address", metavar="RAY", help="a running Ray cluster; without it Ray starts on this machine"
    )


def add_json(command: argparse.ArgumentParser) -> None:
    """The option of commands whose answer a program may read."""
    command.add_argument("--json", action="store_true", help="print JSON")


def print_json(value: Any) -> None:
    """Print an answer for programs."""
    encoding = sys.stdout.encoding or "utf-8"  # a StringIO has none
    ascii_only = encoding.lower() != "utf-8"
    json.dump(value, sys.stdout, indent=1, ensure_ascii=ascii_only, default=str)
    print()


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)
