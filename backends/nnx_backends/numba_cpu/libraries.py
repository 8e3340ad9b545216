"""How machine code is generated for a compiled function and the functions it calls.

By default, Numba optimizes and emits an inner function by itself, and again as a part
of each function that calls it. Which of these copies is called depends on what the
process compiled or loaded first, and two copies may add numbers in different orders.
Here, an inner function is optimized only as a part of its caller, as a private copy.
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

# Prefix of reference-counting functions; Numba removes needless calls of them by name.
COUNTING = "NRT_"


class _Whole(JITCodeLibrary):  # type: ignore[misc]
    """A function's code, with private copies of everything that it calls."""

    def finalize(self) -> None:
        """Link, optimize and emit the code."""
        self._entries = {function.name for function in self._defined()}
        super().finalize()

    def _optimize_final_module(self) -> None:
        self._hide(counting=False)
        super()._optimize_final_module()
        self._hide(counting=True)

    def _hide(self, *, counting: bool) -> None:
        """Make called functions private; counting: reference-counting ones too."""
        for function in self._defined():
            hidden = counting or not function.name.startswith(COUNTING)
            if hidden and function.name not in self._entries:
                function.linkage = "internal"

    def _defined(self) -> list[Any]:
        functions = self._final_module.functions
        return [function for function in functions if not function.is_declaration]


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """An inner function's code, which is optimized only as a part of its callers'."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True

    @property
    def codegen(self) -> "_Part":
        """The object on which Numba calls `set_env` with the function's environment."""
        return self

    def set_env(self, name: str, env: Any) -> None:
        """Do nothing: a function without machine code of its own has none."""


class WholeCompiler(Compiler):  # type: ignore[misc]
    """Compiles a function that is called by its address."""

    library: type[JITCodeLibrary] = _Whole

    def define_pipelines(self) -> Any:
        """Return Numba's passes, which add code to this class's library."""
        state = self.state
        name, codegen = state.func_id.func_qualname, state.targetctx.codegen()
        state.library = self.library(codegen, name)
        state.library.enable_object_caching()
        return super().define_pipelines()


class PartCompiler(WholeCompiler):
    """Compiles a function that only compiled ones call."""

    library = _Part
