import re

import pytest

from falconmix import cli

COMMANDS = next(iter(cli.parser()._subparsers._group_actions)).choices


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_in_the_readme_and_in_the_docs(repository, command):
    docs = "\n".join(path.read_text() for path in sorted((repository / "docs").glob("*.md")))
    for where, text in (("README.md", (repository / "README.md").read_text()), ("docs/", docs)):
        assert f"falconmix {command}" in text, f"{where} does not say what `falconmix {command}` does"


def shown(text):
    """Commands of a guide with the output that is printed below them, `…` for what is left out at its beginning."""
    for block in re.findall(r"^```\n(\$ falconmix .*?)^```", text, re.DOTALL | re.MULTILINE):
        for part in block.split("$ falconmix ")[1:]:
            command, _, output = part.partition("\n")
            yield command, output.removeprefix("…\n").splitlines()


def test_what_the_guide_shows_is_what_is_printed(falconmix, repository):
    found = [one for one in shown((repository / "docs" / "training.md").read_text()) if "--dry-run" not in one[0]]
    assert len(found) == 5
    for command, lines in found:
        code, out, _ = falconmix(*command.split())
        assert (code, out.splitlines()) == (0, lines), command


@pytest.mark.slow
def test_what_the_guide_shows_of_a_dry_run_is_what_is_printed(falconmix, repository):
    """But for the peak, which a new torch or another CPU's kernels may move by a thousandth."""
    ((command, lines),) = [
        one for one in shown((repository / "docs" / "training.md").read_text()) if "--dry-run" in one[0]
    ]
    code, out, _ = falconmix(*command.split())
    assert code == 0
    printed = out.splitlines()
    assert [line for line in printed[-len(lines) :] if "peak" not in line] == [ln for ln in lines if "peak" not in ln]
