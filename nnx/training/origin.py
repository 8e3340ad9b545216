"""A trained network as the start of a new run: the settings that it determines."""

from collections.abc import Mapping
from typing import Any

from nnx.errors import InputError
from nnx.network import Network
from nnx.settings.values import as_option


def described(network: Network) -> dict[str, Any]:
    """Return the settings that a network determines, as `complete` returns them."""
    *hidden, _ = network.activation
    settings: dict[str, Any] = {
        "hidden": network.sizes[1:-1],
        "dtype": network.layers[0].weight.dtype.name,
    }
    if hidden:
        settings["activation"] = (
            tuple(hidden[:1]) if len(set(hidden)) == 1 else tuple(hidden)
        )
    if not network.columns:
        settings["pixels"] = network.pixels
    return settings


def with_network(
    settings: Mapping[str, Any], network: Network, source: str
) -> dict[str, Any]:
    """Return settings together with those that a trained network determines.

    settings: those given, as `layered` returns them
    source: where the network comes from, for the error's message

    Raises:
        InputError: a given setting contradicts the network
    """
    own = described(network)
    for name, value in own.items():
        given = settings.get(name, value)
        if name == "activation":
            given = given[:1] if len(set(given)) == 1 else given
        if given != value:
            here, there = (as_option(name, each) for each in (value, given))
            raise InputError(
                f"{name} of the network in {source} is {here}, and not {there}: leave "
                f"{name} out, or begin without from"
            )
    return {**settings, **own}
