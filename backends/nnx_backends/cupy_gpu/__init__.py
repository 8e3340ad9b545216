"""CuPy on a CUDA device.

New arrays are made on the current device, which `scope` sets: array-api-compat accepts
device= but ignores it.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from nnx.backend import Backend, FirstRun
from nnx.errors import InputError, MissingLibraryError, NnxError, UnusableBackendError
from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import PRECISIONS
from nnx.maths.ops import Ops
from nnx.maths.state import State
from nnx_backends.cupy_gpu import errors, first_run, logits, steps
from nnx_backends.cupy_gpu.namespace import namespace
from nnx_backends.cupy_gpu.self_test import SelfTest

TF32 = (
    "float32 products in TF32, whose factors have 10 bits: results differ from other "
    "backends' from the third digit on"
)


def load(
    device: str | int | None = None,
    precision: str = "full",
    *,
    fused: bool = True,
    place: int = 0,
) -> Backend:
    """Return the backend on one CUDA device, which becomes the current one.

    device: its number, as in "1" or "cuda:1"; None: chosen by the place
    precision: of float32 products' factors; "bf16" where one launch takes many steps
    fused: whether one launch takes many steps, where it can; else each operation is one
    place: this process's index among those of the machine, which take its cards in turn

    Raises:
        MissingLibraryError: CuPy is not installed
        UnusableBackendError: no driver, or one older than the runtime; no such device
            or precision; a compiler, cache or library that does not work
        InputError: an unknown form of device, or precision; TF32 that is forbidden
    """
    given = None if device is None else _number(device)
    cupy = _cupy()
    number = _chosen(cupy, given, place)

    @contextmanager
    def scope() -> Iterator[None]:
        with errors.translated(cupy, number), cupy.cuda.Device(number):
            _set_precision(cupy, precision)
            yield

    with errors.translated(cupy, number):
        cupy.cuda.Device(number).use()
        _check_precision(cupy, number, precision)
        with scope():
            _check_it_works(cupy)
    plain = Ops(namespace(cupy))
    ops = plain._replace(logits=partial(logits.logits, ops=plain))
    run_steps, first = _steps(cupy, number, ops, fused, precision)
    return Backend(
        name="cupy",
        device=f"cuda:{number} ({_device_name(cupy, number)})",
        ops=ops,
        from_numpy=partial(_from_numpy, cupy, number),
        to_numpy=cupy.asnumpy,
        synchronize=cupy.cuda.Device(number).synchronize,
        first_run=first._replace(note=TF32 if precision == "tf32" else ""),
        scope=scope,
        own_steps=run_steps,
        memory=lambda: errors.available(cupy, number)[0],
    )


def _steps(
    cupy: Any, number: int, ops: Ops, fused: bool, precision: str
) -> tuple[Callable[..., State], FirstRun]:
    """Return the function that takes steps, and the work before the first one."""
    run_steps: Callable[..., State] = partial(first_run.run_steps, ops=ops, cupy=cupy)
    card, self_test = None, SelfTest(cupy, precision)
    if fused:
        device = cupy.cuda.Device(number)
        time_limited = bool(device.attributes.get("KernelExecTimeout"))
        room = steps.shared_memory(device)
        tensor_cores = steps.has_tf32(device)
        card = steps.Card(cupy, room, precision, time_limited, tensor_cores)
        run_steps = steps.fused(run_steps, card, self_test)
    way = partial(steps.way, card=card, self_test=self_test)
    compiling = partial(first_run.before_training, ops=ops, run_steps=run_steps)
    return run_steps, FirstRun(compile=compiling, steps=way)


def _from_numpy(cupy: Any, number: int, array: Array) -> Array:
    with cupy.cuda.Device(number):
        return cupy.asarray(array)


def _device_name(cupy: Any, number: int) -> str:
    name: bytes = cupy.cuda.runtime.getDeviceProperties(number)["name"]
    return name.decode()


def _number(device: str | int) -> int:
    """Return the number in "1", "cuda:1" or 1; "cuda" is the first."""
    name = "0" if device == "cuda" else str(device)
    digits = re.fullmatch(r"(?:cuda:)?([0-9]{1,3})", name)
    if digits is None:
        raise InputError(f"backend 'cupy' has devices 0, 1, … or cuda:0, not {name!r}")
    return int(digits[1])


def _cupy() -> Any:
    """Return the library; refuse one that is missing or broken."""
    try:
        import cupy
    except ModuleNotFoundError:
        raise MissingLibraryError(
            "backend 'cupy' needs CuPy, which is not installed: " + errors.INSTALL
        ) from None
    except ImportError as error:
        # CuPy's message has a frame around it, and the cause in its last line.
        cause = str(error).strip(" =\n").rpartition("\n")[2].strip()
        raise UnusableBackendError(
            f"backend 'cupy' cannot import CuPy ({cause}): {errors.INSTALL}"
        ) from None
    except OSError as error:
        # CuPy makes its folder on import, even if it is to keep kernels in memory.
        raise UnusableBackendError(
            f"backend 'cupy' cannot create the folder for its kernels ({error}): "
            + errors.CACHE_DIR
        ) from None
    return cupy


def _chosen(cupy: Any, given: int | None, place: int) -> int:
    """Return a device's number: the given one, or one chosen by the place.

    Raises:
        UnusableBackendError: no such device; a machine without a usable device
    """
    runtime = cupy.cuda.runtime
    try:
        count = int(runtime.getDeviceCount())
    except Exception as error:
        nnx_error = errors.explained(error, cupy, given or 0)
        if "cudaErrorInsufficientDriver" in str(error):
            nnx_error = _without_driver(runtime)
        raise nnx_error or error from None
    number = place % max(count, 1) if given is None else given
    if number >= count:
        raise UnusableBackendError(
            f"backend 'cupy' has no device {number}; there are {count}, from 0"
        )
    return number


def _without_driver(runtime: Any) -> NnxError:
    """Return the error for a driver that is missing, or too old."""
    driver, own = runtime.driverGetVersion(), runtime.runtimeGetVersion()
    if driver == 0:
        return UnusableBackendError(
            "backend 'cupy' finds no NVIDIA driver: install one, and see that "
            "nvidia-smi works; or use another --backend"
        )
    return UnusableBackendError(
        f"backend 'cupy' finds a driver for CUDA {_version(driver)}, older than CuPy's "
        f"CUDA {_version(own)}: update the driver, or install CuPy for an older CUDA: "
        "pip install 'nnx-mlp[cuda12]'"
    )


def _version(number: int) -> str:
    """Return 12040 as 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _check_precision(cupy: Any, number: int, precision: str) -> None:
    """Refuse a precision that the card lacks, or that the environment forbids."""
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise InputError(f"precision must be one of {known}, not {precision!r}")
    device = cupy.cuda.Device(number)
    if precision != "full" and not steps.has_tf32(device):
        raise UnusableBackendError(
            f"cuda:{number} has no {precision.upper()}: its compute capability is "
            f"{int(device.compute_capability) / 10}, and {steps.SINCE / 10} is needed; "
            "give no --precision"
        )
    if precision == "tf32" and os.environ.get("NVIDIA_TF32_OVERRIDE") == "0":
        raise InputError(
            "NVIDIA_TF32_OVERRIDE=0 forbids TF32: unset it, or give no --precision"
        )


def _set_precision(cupy: Any, precision: str) -> None:
    """Have CuPy compute float32 products in float32, or in TF32 if asked for.

    This overrides the variable CUPY_TF32, which may be set for another program: CuPy
    reads it once, but a process may hold a backend of each precision.
    """
    linalg = cupy._core._routines_linalg
    name = "TF32" if precision == "tf32" else "DEFAULT"
    linalg.set_compute_type("float32", getattr(linalg, f"COMPUTE_TYPE_{name}"))


def _check_it_works(cupy: Any) -> None:
    """Use each part of CuPy once, so that it fails early if at all.

    The parts are the compiler and its cache; cuBLAS; reductions, whose kernels come
    from CUB and need more of CUDA's headers; and sorting, which is compiled into CuPy.
    """
    square = cupy.ones((2, 2), cupy.float32)
    rows = cupy.sum(square @ square + square, axis=1)
    cupy.asnumpy(cupy.sort(rows))
