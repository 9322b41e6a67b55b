import pytest

from falconmix import cli


@pytest.fixture
def falconmix(capsys):
    """Run a command in this process; gives its exit code and what it printed."""

    def run(*arguments):
        try:
            code = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:  # argparse
            code = end.code
        return code, *capsys.readouterr()

    return run
