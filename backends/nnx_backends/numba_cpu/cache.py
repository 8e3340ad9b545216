"""Compiled functions, and those of them that are cached on disk where possible.

With Numba's own `cache=True`, a program ends at its import where no folder can be
written, and at the first call where the disk is full or a cached file is damaged.
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

# Numba looks only at the file that a function is in, and not at what it calls, nor at
# the modules of the maths, whose numbers are constants in the kernels.
_SOURCES = sha256(
    b"".join(
        path.read_bytes()
        for module in (__file__, maths.__file__)
        for path in sorted(Path(module).parent.glob("*.py"))
    )
).digest()


def _load_without_blas() -> None:
    """Have Numba load what it knows of arrays without SciPy's BLAS, which takes 0.1 s.

    It looks whether there is one, and does so again where a function needs it.
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
    """Numba's cache of one function, none of whose faults is an error."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache
        self.cache_path = cache.cache_path
        self.flush = cache.flush
        cache._cache_file._source_stamp = _SOURCES

    def load_overload(self, signature: Any, context: Any) -> Any:
        """Return what was cached, or None; what cannot be read is forgotten."""
        try:
            result = self._cache.load_overload(signature, context)
            # Two processes that cache at once may take the same file for two types.
            if result and result.signature.args != normalize_signature(signature)[0]:
                raise ValueError("compiled for other types")
            return result
        except Exception:  # damaged bytes may unpickle to any
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Cache it, if there is room."""
        with suppress(Exception):
            index = self._cache._cache_file
            # Another process must not find what was compiled from other sources.
            if not index._load_index():
                name = index._index_name.removesuffix(".nbi")
                for old in Path(self.cache_path).glob(f"{name}.*.nbc"):
                    old.unlink()
            self._cache.save_overload(signature, compiled)


def cached_njit(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator like `njit(cache=True)` that never refuses a function."""

    def decorate(function: Callable[..., Any]) -> Any:
        compiled = njit(pipeline_class=WholeCompiler, **options)(function)
        with suppress(RuntimeError):  # no folder: compiled anew by every process
            compiled.enable_caching()
            compiled._cache = _Cache(compiled._cache)
        return compiled

    return decorate


def inner_njit(**options: Any) -> Any:
    """Return a decorator like `njit` for what only compiled functions call.

    What lets Python call it would be a third of its compiling.
    """
    return njit(
        nogil=True,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        pipeline_class=PartCompiler,
        **options,
    )
