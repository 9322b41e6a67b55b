"""The command line: parses, hands over to the room that does the work, and turns errors into one clear line.

Exit codes: 0 done; 1 the work failed, or `why` found nothing; 2 wrong usage or configuration; 3 a guardrail stopped
the run; 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from falconmix import curation, deduplication, evaluation, importing, mixing, planning, removal, training
from pipeline.interrupt import listening

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    options = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a page's text on a terminal that knows ASCII alone
    try:
        with listening() as options.stop:
            code: int = options.run(options)
            sys.stdout.flush()
    except KeyboardInterrupt:
        return _interrupted(options)
    except BrokenPipeError:
        return _unread()
    except SystemExit as end:
        # Ray takes SIGTERM over while it starts and makes this of it; rich does where it finds the pipe closed.
        return _interrupted(options) if end.code == signal.SIGTERM else _unread()
    except Exception as error:
        if options.debug:
            raise
        print(f"falconmix {options.command}: {_explain(error)}", file=sys.stderr)
        return int(getattr(error, "exit_code", 1))
    return code


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
        prog="falconmix",
        description="From Common Crawl dumps to RefinedWeb-style training data, and from there to a trained Falcon2.",
    )
    top.add_argument("--version", action="version", version=f"falconmix {_version()}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for room in (curation, deduplication, removal, importing, mixing, planning, training, evaluation):
        room.add_commands(commands)
    for command in commands.choices.values():
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return top


def _version() -> str:
    """The installed version; a checkout may be run as it is, on a machine with a GPU and little else."""
    try:
        return version("falconmix")
    except PackageNotFoundError:
        return "(a checkout, not installed)"


def _interrupted(options: argparse.Namespace) -> int:
    print(f"falconmix {options.command}: interrupted; run the same command again to go on", file=sys.stderr)
    return INTERRUPTED


def _unread() -> int:
    """The reader of our output went away, as `| head` does: nothing failed."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _explain(error: Exception) -> str:
    notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
    if hasattr(error, "exit_code"):
        return f"{error}{notes}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f" while writing {error.filename}" if error.filename else ""
        return f"the disk is full{where}; free some space and run the same command again: what was finished is kept"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}; check the path and its permissions"
    return f"unexpected {type(error).__name__}: {error}{notes}\nPlease report this, with what --debug prints."


if __name__ == "__main__":
    sys.exit(main())
