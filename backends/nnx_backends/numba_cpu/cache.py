"""Decorators for compiled functions; results are cached on disk where possible.

With Numba's own `cache=True`, a program fails at import if no folder can be written,
and at the first call if the disk is full or a cached file is damaged. Here it does not.
"""

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from numba import njit
from numba.core.sigutils import normalize_signature
from numba.np import linalg

from nnx import maths
from nnx_backends.numba_cpu.libraries import PartCompiler, WholeCompiler

# A hash of every source that kernels depend on. Numba would check only the file that a
# function is in: not the functions that it calls, and not the modules of the maths,
# whose numbers are constants in the kernels.
_SOURCES = sha256(
    b"".join(
        path.read_bytes()
        for module in (__file__, maths.__file__)
        for path in sorted(Path(module).parent.glob("*.py"))
    )
).digest()


def _load_without_blas() -> None:
    """Load Numba's array functions without loading SciPy's BLAS, which takes 0.1 s.

    Numba only checks that there is a BLAS, and checks again if a function needs it.
    """
    look = linalg.ensure_blas
    linalg.ensure_blas = lambda: None
    try:
        import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = look


if find_spec("scipy"):
    _load_without_blas()


class _Cache:
    """Numba's cache of one function, whose faults are never errors."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        self.cache_path = cache.cache_path
        self.flush = cache.flush
        cache._cache_file._source_stamp = _SOURCES

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Return the cached function, or None; discard a cache that cannot be read."""
        try:
            result = self._cache.load_overload(signature, context)
            # Two processes that write at once may use one file for different types.
            if result and result.signature.args != normalize_signature(signature)[0]:
                raise ValueError("compiled for other types")
            return result
        except Exception:  # unpickling damaged bytes may raise anything
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Cache a compiled function, if there is room."""
        with suppress(Exception):
            index = self._cache._cache_file
            # No process may find code that was compiled from other sources.
            if not index._load_index():
                name = index._index_name.removesuffix(".nbi")
                for old in Path(self.cache_path).glob(f"{name}.*.nbc"):
                    old.unlink()
            self._cache.save_overload(signature, compiled)


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator like `njit(cache=True)` that needs no writable folder."""

    def decorate(function: Callable[..., Any]) -> Any:
        compiled = njit(pipeline_class=WholeCompiler, **options)(function)
        with suppress(RuntimeError):  # no folder: every process compiles it again
            compiled.enable_caching()
            compiled._cache = _Cache(compiled._cache)
        return compiled

    return decorate


def inner_njit(**options: Any) -> Any:
    """Return a decorator like `njit` for functions that only compiled functions call.

    It omits the wrapper for Python, which would take a third of the compilation.
    """
    return njit(
        nogil=True,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        pipeline_class=PartCompiler,
        **options,
    )
