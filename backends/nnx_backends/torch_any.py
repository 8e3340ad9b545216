"""PyTorch on the CPU, a CUDA device or Apple's GPU, without autograd."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from nnx.backend import Backend
from nnx.denormals import flushed
from nnx.errors import MissingLibraryError, OutOfMemoryError, UnusableBackendError
from nnx.maths import steps
from nnx.maths.arrays import Array, Namespace
from nnx.maths.ops import Ops
from nnx_backends.host_memory import keep_freed

GRAIN = 32768  # the fewest numbers that PyTorch gives to a thread


def load(device: str = "cpu") -> Backend:
    """Return the backend on one of PyTorch's devices.

    device: for example cpu, cuda, cuda:1 or mps

    Raises:
        MissingLibraryError: PyTorch is not installed
        UnusableBackendError: PyTorch does not know the device, or cannot use it
    """
    try:
        import torch
        from array_api_compat import torch as xp
    except ModuleNotFoundError:
        raise MissingLibraryError(
            "backend 'torch' needs PyTorch, which is not installed: "
            "pip install 'nnx-mlp[torch]'"
        ) from None
    place, xp = _place(torch, device), _namespace(torch, xp)
    keep_freed()
    with flushed():  # PyTorch's threads start here, and keep this setting
        torch.zeros(torch.get_num_threads() * GRAIN)

    def from_numpy(array: Any) -> Array:
        # A copy in PyTorch's own memory, as the last bits of an array's sums depend on
        # its alignment.
        kind = np.asarray(array).dtype.newbyteorder("=")
        native = np.array(array, kind, order="C")
        return torch.tensor(native, device=place)

    ops = Ops(
        xp,
        dense_forward=lambda x, weight, bias: torch.addmm(bias, x, weight),
        update=partial(_update, torch),
    )
    return Backend(
        name="torch",
        device=_in_words(torch, place),
        ops=ops,
        from_numpy=from_numpy,
        to_numpy=lambda array: array.cpu().numpy(),
        synchronize=lambda: _synchronize(torch, place),
        scope=partial(_scope, torch, place),
        own_steps=partial(torch.inference_mode()(steps.run_steps), ops=ops),
    )


def _namespace(torch: Any, xp: Any) -> Namespace:
    """Return the namespace, with an exp that returns 0 instead of a denormal number.

    PyTorch's exp takes thirty times as long where its result is denormal or 0.
    """

    def exp(x: Array) -> Array:
        least = -87.0 if x.dtype == torch.float32 else -708.0
        powers = torch.exp(torch.clamp(x, min=least))
        return torch.where(x < least, torch.zeros_like(powers), powers)

    return SimpleNamespace(**{**vars(xp), "exp": exp})


def _place(torch: Any, device: str) -> Any:
    """Return the device, after writing a number to it and reading it back."""
    try:
        place = torch.device(device)
        torch.zeros((), device=place).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        # After the first sentence, PyTorch may list its whole table of operations.
        why = str(error).strip().partition("\n")[0].partition(". ")[0][:200]
        raise UnusableBackendError(
            f"backend 'torch' cannot use device {device!r} ({why}): "
            "use cpu, or install a PyTorch that is built for it"
        ) from None
    return place


def _in_words(torch: Any, place: Any) -> str:
    if place.type != "cuda":
        return str(place)
    return f"{place} ({torch.cuda.get_device_name(place)})"


def _synchronize(torch: Any, place: Any) -> None:
    if place.type == "cuda":
        torch.cuda.synchronize(place)
    elif place.type == "mps":
        torch.mps.synchronize()


@contextmanager
def _scope(torch: Any, place: Any) -> Iterator[None]:
    """Translate PyTorch's out-of-memory error; arrays know their own device."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        why = ", ".join(str(error).split(". ")[1:3])
        raise OutOfMemoryError(f"out of memory on {place}: {why}") from None


def _update(torch: Any, parameter: Array, direction: Array, rate: float) -> Array:
    """Return the same as `optimizers.update`, in one operation."""
    return torch.sub(parameter, direction, alpha=rate)
