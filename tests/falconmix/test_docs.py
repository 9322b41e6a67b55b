import pytest

from falconmix import cli

COMMANDS = next(iter(cli.parser()._subparsers._group_actions)).choices


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_in_the_readme_and_in_the_docs(repository, command):
    docs = "\n".join(path.read_text() for path in sorted((repository / "docs").glob("*.md")))
    for where, text in (("README.md", (repository / "README.md").read_text()), ("docs/", docs)):
        assert f"falconmix {command}" in text, f"{where} does not say what `falconmix {command}` does"
