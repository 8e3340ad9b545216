"""Compiled functions that are called by their address.

When Numba compiles a function, it compiles all functions that this one calls again, at
every level of calls. A kernel is instead compiled and cached separately, and only if a
run uses it; `train` knows only its address.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from numba import from_dtype, types
from numba.extending import intrinsic

from nnx_backends.numba_cpu.cache import cached_njit
from nnx_backends.numba_cpu.records import HYPER, LAYER, STEP, run_dtype


class Kernel:
    """A compiled function of the records run, layer, step and hyper; see `records`.

    names: globals of this kernel alone, so that one function can make several kernels
    """

    def __init__(
        self, function: Callable[..., None], kind: str = "", /, **names: Any
    ) -> None:
        name = f"{function.__name__}_{kind}" if kind else function.__name__
        scope = function.__globals__ | names if names else function.__globals__
        own = FunctionType(function.__code__, scope, name)
        own.__qualname__ = name
        # Only `train` calls it, which needs neither of the wrappers for Python and C.
        self._compiled = cached_njit(
            nogil=True,
            error_model="numpy",
            no_cpython_wrapper=True,
            no_cfunc_wrapper=True,
        )(own)
        self._addresses: dict[Any, int] = {}

    def address(self, real: Any) -> int:
        """Return the kernel's address, compiled for one type of numbers."""
        if real not in self._addresses:
            kinds = tuple(map(from_dtype, (run_dtype(real), LAYER, STEP, HYPER)))
            self._compiled.compile(types.void(*kinds))
            result = self._compiled.overloads[kinds]
            name = result.fndesc.llvm_func_name
            self._addresses[real] = int(result.library.get_pointer_to_function(name))
        return self._addresses[real]


@intrinsic
def call(typing, address, run, layer, step, hyper):
    """Call the kernel at an address."""
    kinds = run, layer, step, hyper

    def generate(context, builder, signature, args):
        convention = context.call_conv
        kind = convention.get_function_type(types.void, kinds)
        function = builder.inttoptr(args[0], kind.as_pointer())
        convention.call_function(builder, function, types.void, kinds, args[1:])
        return context.get_dummy_value()

    return types.void(address, *kinds), generate
