"""How machine code is made of a compiled function and of the functions that it calls.

By Numba's way an inner function is optimized and emitted by itself, and once more as a
part of each function that calls it, and which of these is called depends on what the
process has compiled or loaded first. Two of them may add up in another order. Here it
is optimized only where it is called, and is its caller's own.
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler

# Of functions that count references; Numba takes needless calls of them out by name.
COUNTING = "NRT_"


class _Whole(JITCodeLibrary):  # type: ignore[misc]
    """A function's code, with its own of all that it calls."""

    def finalize(self) -> None:
        """Link, optimize and emit it."""
        self._entries = {function.name for function in self._defined()}
        super().finalize()

    def _optimize_final_module(self) -> None:
        self._hide(counting=False)
        super()._optimize_final_module()
        self._hide(counting=True)

    def _hide(self, *, counting: bool) -> None:
        """Let no other code call what this calls; counting: nor what is named so."""
        for function in self._defined():
            hidden = counting or not function.name.startswith(COUNTING)
            if hidden and function.name not in self._entries:
                function.linkage = "internal"

    def _defined(self) -> list[Any]:
        functions = self._final_module.functions
        return [function for function in functions if not function.is_declaration]


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """An inner function's code, to be optimized as a part of its callers'."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True

    @property
    def codegen(self) -> "_Part":
        """What Numba tells of the function's environment, with `set_env`."""
        return self

    def set_env(self, name: str, env: Any) -> None:
        """Do nothing: a function that is nowhere in memory has none."""


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
