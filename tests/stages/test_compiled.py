from typing import Any

from numba.core.registry import CPUDispatcher

from stages.compiled import compiled
from stages.minhash import jaccard


def test_kernels_are_machine_code_kept_on_disk() -> None:
    assert isinstance(jaccard, CPUDispatcher)
    assert jaccard.stats.cache_path.endswith("__pycache__") or "numba" in jaccard.stats.cache_path


def test_a_kernel_without_a_place_on_disk_is_still_compiled() -> None:
    """Code that comes from no file has no cache folder, like a package that its user may not write beside."""
    namespace: dict[str, Any] = {}
    exec("def doubled(x):\n    return 2 * x", namespace)
    kernel = compiled(namespace["doubled"])
    assert isinstance(kernel, CPUDispatcher)
    assert kernel(21) == 42
