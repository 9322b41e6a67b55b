import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
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


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's own sample crawl: three WARC files."""
    folder = tmp_path_factory.mktemp("sample")
    script = REPOSITORY / "examples" / "make_sample.py"
    subprocess.run([sys.executable, str(script), str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default recipe, with a block list of one line in place of millions, and a heeded opt-out signal."""
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "blocked.txt").write_text("bluepictures.com\n")
    (folder / "recipe.yaml").write_text(
        "extends: refinedweb\nname: test\nurl: {block_lists: [blocked.txt]}\nopt_out: {drop: [noai]}\n"
    )
    return folder / "recipe.yaml"


@pytest.fixture(scope="session")
def curated(sample: Path, recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run over the sample; for reading alone."""
    return _curated([sample], recipe_file, tmp_path_factory)


@pytest.fixture(scope="session")
def curated_file(sample: Path, recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run over the sample's first file; for reading alone."""
    return _curated([sample / "sample-00000.warc.gz"], recipe_file, tmp_path_factory)


def _curated(inputs: Sequence[Path], recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pipeline import recipe
    from pipeline.curate import CurateJob, curate
    from pipeline.engine import SerialEngine
    from pipeline.progress import Quiet

    job = CurateJob(
        inputs=tuple(map(str, inputs)),
        output=tmp_path_factory.mktemp("curated") / "out",
        recipe=recipe.load(str(recipe_file)),
    )
    curate(job, SerialEngine, Quiet())
    return job.output


with suppress(ImportError):  # `tests/gpu` runs on machines without it
    from hypothesis import settings

    settings.register_profile("tests", deadline=None)  # a test never passes or fails by time
    settings.load_profile("tests")
