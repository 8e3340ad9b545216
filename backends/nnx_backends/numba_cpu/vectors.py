"""Vector instructions, for kernels that the compiler does not vectorize by itself.

They are LLVM's, on whole registers of this processor (LLVM Language Reference Manual).
"""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic


def _features() -> set[str]:
    """Return the processor features that Numba compiles for: its variable's, or all."""
    named = config.CPU_FEATURES
    listed = get_host_cpu_features() if named is None else named
    return {name.strip()[1:] for name in listed.split(",") if name.strip()[:1] == "+"}


HAS = _features()


def _registers() -> tuple[int, dict[int, int]]:
    """Return the bytes of a vector register, and the rows of tiles by their width.

    A tile's sums, a row of vectors and one number fit into the 16 or 32 registers.
    """
    if "avx512f" in HAS:
        return 64, {1: 6, 2: 6, 3: 6, 4: 6}
    if "avx2" in HAS:
        return 32, {1: 6, 2: 6, 3: 4}
    # All 64-bit ARM processors have NEON's 32 registers; on macOS, LLVM lists nothing.
    arm = platform.machine().lower() in ("arm64", "aarch64")
    return 16, {1: 6, 2: 6, 3: 6, 4: 6} if arm else {1: 6, 2: 6}


VECTOR, ROWS = _registers()
WIDEST = max(ROWS)


def _has_bfloat16() -> bool:
    """Return whether Numba compiles for a processor that multiplies bfloat16 numbers.

    LLVM 15, which older versions of Numba use, has no vectors of them.
    """
    return "avx512bf16" in HAS and binding.llvm_version_info >= (16,)


HAS_BFLOAT16 = _has_bfloat16()


class BFloat16(ir.Type):  # type: ignore[misc]
    """LLVM's type of bfloat16 numbers, which llvmlite does not define."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BFloat16)

    def __hash__(self) -> int:
        return hash(BFloat16)


BFLOAT16 = BFloat16()


def lanes(real: Any) -> int:
    """Return how many numbers of a type a vector holds."""
    return VECTOR // int(np.dtype(real).itemsize)


def broadcast(builder: Any, kind: Any, number: Any) -> Any:
    """Return a vector that repeats a number."""
    empty, i32 = ir.Constant(kind, ir.Undefined), ir.IntType(32)
    one = builder.insert_element(empty, number, i32(0))
    zeros = ir.Constant(ir.VectorType(i32, kind.count), None)
    return builder.shuffle_vector(one, empty, zeros)


def prefetch(builder: Any, data: Any, at: Any, *, writes: bool) -> None:
    """Prefetch the cache line of a number; writes: whether it will be written."""
    i8, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [i8, i32, i32, i32])
    fetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch")
    place = builder.bitcast(builder.gep(data, [at]), i8)
    # To be kept in every cache, as data.
    builder.call(fetch, [place, i32(int(writes)), i32(3), i32(1)])


@intrinsic
def pointer(typing, array):
    """Return a pointer to an array's numbers, which counts no references."""

    def generate(context, builder, signature, args):
        return context.make_array(array)(context, builder, args[0]).data

    return types.CPointer(array.dtype)(array), generate


@intrinsic
def pointer_at(typing, address, example):
    """Return a pointer to numbers of the example's type that lie at an address."""

    def generate(context, builder, signature, args):
        kind = context.get_value_type(signature.return_type)
        return builder.inttoptr(args[0], kind)

    return types.CPointer(example)(address, example), generate


@contextmanager
def loop_as_written(builder: Any, count: Any) -> Iterator[Any]:
    """Generate a loop that is not unrolled, and provide its index.

    Two rounds at once would need more vectors than there are registers.
    """
    before, body = builder.block, builder.append_basic_block("round")
    after = builder.append_basic_block("after")
    zero = count.type(0)
    builder.cbranch(builder.icmp_signed("<", zero, count), body, after)
    builder.position_at_end(body)
    index = builder.phi(count.type)
    index.add_incoming(zero, before)
    yield index
    following = builder.add(index, count.type(1))
    index.add_incoming(following, builder.block)
    again = builder.icmp_signed("<", following, count)
    branch = builder.cbranch(again, body, after)
    module = builder.module
    rule = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop = module.add_metadata([rule, rule])
    loop.operands = loop, rule  # a loop's metadata refers to itself first
    branch.set_metadata("llvm.loop", loop)
    builder.position_at_end(after)


class Matrix(NamedTuple):
    """A matrix in a contiguous array, as the tiles take it.

    data: the array's `pointer`; at: where the matrix begins in it
    row, column: numbers from one row, and from one column, to the next
    """

    data: Any
    at: int
    row: int
    column: int


class Vectors:
    """Instructions on vectors of one type of number.

    Sums are variables, which the compiler keeps in registers.
    """

    def __init__(self, context: Any, builder: Any, real: Any) -> None:
        self.builder = builder
        self.align = real.bitwidth // 8
        self.type = ir.VectorType(context.get_data_type(real), VECTOR // self.align)
        self.suffix = f"v{self.type.count}f{real.bitwidth}"

    def matrix(self, value: Any) -> list[Any]:
        """Return a `Matrix`'s fields."""
        return [self.builder.extract_value(value, i) for i in range(4)]

    def at(self, first: Any, times: Any, stride: Any) -> Any:
        """Return first + times · stride; either of the two may be a Python integer."""
        times, stride = (
            ir.Constant(first.type, i) if isinstance(i, int) else i
            for i in (times, stride)
        )
        return self.builder.add(first, self.builder.mul(times, stride))

    def _address(self, data: Any, at: Any, kind: Any) -> Any:
        place = self.builder.gep(data, [at])
        return self.builder.bitcast(place, kind.as_pointer())

    def load(self, data: Any, at: Any) -> Any:
        """Return the vector that begins there."""
        return self.builder.load(self._address(data, at, self.type), align=self.align)

    def store(self, value: Any, data: Any, at: Any) -> None:
        """Write a vector there."""
        address = self._address(data, at, value.type)
        self.builder.store(value, address, align=self.align)

    def totals(self, count: int) -> list[Any]:
        """Return `count` variables, set to zero."""
        zero = ir.Constant(self.type, None)
        return [cgutils.alloca_once_value(self.builder, zero) for _ in range(count)]

    def add_product(self, a: Any, b: Any, total: Any) -> None:
        """Add a · b to a variable."""
        kind = ir.FunctionType(self.type, [self.type] * 3)
        name = f"llvm.fmuladd.{self.suffix}"
        fma = cgutils.get_or_insert_function(self.builder.module, kind, name)
        sum_ = self.builder.call(fma, [a, b, self.builder.load(total)])
        self.builder.store(sum_, total)

    def add_pairs(self, a: Any, b: Any, total: Any) -> None:
        """Add the two products of each word of a and of b to a variable.

        A word is two bfloat16 numbers in the place of a float32 one.
        """
        halves = ir.VectorType(BFLOAT16, 2 * self.type.count)
        kind = ir.FunctionType(self.type, [self.type, halves, halves])
        name = "llvm.x86.avx512bf16.dpbf16ps.512"
        dots = cgutils.get_or_insert_function(self.builder.module, kind, name)
        pairs = [self.builder.bitcast(words, halves) for words in (a, b)]
        sum_ = self.builder.call(dots, [self.builder.load(total), *pairs])
        self.builder.store(sum_, total)

    def rounded(self, value: Any) -> Any:
        """Return a vector's numbers, rounded to bfloat16."""
        return self.builder.fptrunc(value, ir.VectorType(BFLOAT16, value.type.count))

    def halves(self, a: Any, b: Any) -> Any:
        """Return words with the first halves of a's and the second halves of b's."""
        count = 2 * self.type.count
        halves = ir.VectorType(ir.IntType(16), count)
        first, second = (self.builder.bitcast(words, halves) for words in (a, b))
        which = [i + i % 2 * count for i in range(count)]
        return self.builder.bitcast(self.take(first, second, which), self.type)

    def take(self, a: Any, b: Any, which: list[int]) -> Any:
        """Return the chosen numbers of a and b; b's indices continue those of a."""
        i32 = ir.IntType(32)
        mask = ir.Constant(ir.VectorType(i32, len(which)), which)
        return self.builder.shuffle_vector(a, b, mask)
