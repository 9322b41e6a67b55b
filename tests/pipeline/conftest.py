from pathlib import Path
from typing import Any

import pytest

from tests.pipeline import real_run as runs


@pytest.fixture(scope="session")
def real_warcs(shared_data: Path) -> list[str]:
    return sorted(str(path) for path in (shared_data / "warc").glob("*.warc.gz"))


@pytest.fixture(scope="session")
def real_run(real_warcs: list[str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Folder and summary of a finished run over the real files, one worker; for reading alone."""
    output = tmp_path_factory.mktemp("real") / "out"
    return output, runs.finish(real_warcs, output, workers=1)


@pytest.fixture(scope="session")
def real_pages(real_run: tuple[Path, dict[str, Any]]) -> list[runs.Page]:
    """Its pages that reached deduplication, in order."""
    return runs.pages_of(real_run[0])
