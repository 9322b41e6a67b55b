from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def repository() -> Path:
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pages and texts, beside the checkout; not part of it."""
    if not SHARED_DATA.is_dir():
        pytest.skip("no ../shared/data beside this checkout")
    return SHARED_DATA


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """A data test that skips although the data is there has failed."""
    report = yield
    if report.skipped and SHARED_DATA.is_dir() and "shared_data" in getattr(item, "fixturenames", ()):
        report.outcome = "failed"
        report.longrepr = f"skipped although {SHARED_DATA} is there: {report.longrepr}"
    return report
