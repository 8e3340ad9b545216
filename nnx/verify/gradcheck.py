"""The gradient check, for the built-in cases or for a given network."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, overload

from nnx.automatic import DEFAULT
from nnx.backend import Backend
from nnx.data import given
from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.network import Network
from nnx.settings import complete
from nnx.verify import gradients, own_network
from nnx.verify.compare import Agreement
from nnx.verify.own_network import ParameterCheck


@overload
def gradcheck(backend: str | Backend = DEFAULT, /) -> list[Agreement]: ...


@overload
def gradcheck(*, backend: str | Backend) -> list[Agreement]: ...


@overload
def gradcheck(
    network: Network,
    data: Dataset | tuple[Any, Any] | str | PathLike[str],
    *,
    backend: str | Backend = DEFAULT,
    l1: float = 0.0,
    l2: float = 0.0,
    label_smoothing: float = 0.0,
    class_weights: str | Sequence[float] | Mapping[Any, float] = (),
    huber_delta: float = 0.0,
) -> list[ParameterCheck]: ...


def gradcheck(
    network: Any = None,
    data: Any = None,
    *,
    backend: str | Backend = DEFAULT,
    **minimized: Any,
) -> Any:
    """Compare backpropagation with central differences of the loss, in float64.

    With a network and data, return the largest relative error of each layer's weight
    and bias, computed from training images with a large loss. With a backend alone, as
    in `gradcheck("numba")`, return that of every built-in case.

    network, data: as for `nnx.train`; the network stays unchanged
    backend: the backend to check, by name or from `nnx.find`
    minimized: l1, l2, label_smoothing, class_weights and huber_delta, as for
        `nnx.train`

    Raises:
        InputError: network, data and settings do not fit each other
        BackendError: the backend cannot be used
    """
    unknown = minimized.keys() - set(own_network.MINIMIZED)
    if unknown:
        raise InputError(
            f"gradcheck takes {', '.join(own_network.MINIMIZED)}, not {min(unknown)}"
        )
    if isinstance(network, Network) and isinstance(data, tuple | str | PathLike):
        settings = complete(minimized)
        return own_network.check(network, given.dataset(data), settings, backend)
    if isinstance(network, Network) or data is not None or minimized:
        raise InputError(
            "gradcheck takes a Network and a data set or a pair (x, y), or a backend "
            "alone"
        )
    return gradients.gradcheck(backend if network is None else network)
