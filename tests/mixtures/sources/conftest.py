import pytest


@pytest.fixture(scope="session")
def samples(repository):
    """Small files in the formats of real dumps, authored here."""
    return repository / "tests" / "data" / "sources"
