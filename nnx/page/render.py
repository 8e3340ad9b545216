"""The page for a network as a single document with markup, style, script and data."""

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nnx.data.pixels import brightest_byte
from nnx.maths.state import Layer
from nnx.network import Network

ASSETS = Path(__file__).parent
SCRIPTS = "prepare.js", "network.js", "board.js", "page.js"


class Page(NamedTuple):
    """A page, its permissions as a Content-Security-Policy, and its network's key.

    key: hash of the network's description, by which the server refuses an old page
    """

    html: str
    policy: str
    key: str


def page(network: Network, *, alone: bool) -> Page:
    """Return the page for a network that takes pictures.

    alone: whether the page contains the weights and computes answers itself; otherwise
        it asks a server
    """
    script = '"use strict";\n' + "\n".join(map(_asset, SCRIPTS))
    style = _asset("page.css")
    rules = {
        "default-src": "'none'",
        "script-src": _digest(script),
        "style-src": _digest(style),
        "img-src": "data:",
        "connect-src": "'none'" if alone else "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    policy = "; ".join(f"{name} {allowed}" for name, allowed in rules.items())
    facts = described(network, alone=alone)
    key = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    # Escaped, so that no name of a class can end the element with the data.
    data = json.dumps(facts | {"key": key}).replace("<", "\\u003c")
    parts = {"policy": policy, "style": style, "script": script, "data": data}
    html = re.sub(r"{{(\w+)}}", lambda m: parts[m[1]], _asset("page.html"))
    return Page(html, policy, key)


def described(network: Network, *, alone: bool) -> dict[str, Any]:
    """Return the data on a network for the page's scripts, as JSON values."""
    known: dict[str, Any] = {
        "network": str(network),
        "classes": network.classes,
        "frame": network.frame._replace(maximum=brightest(network))._asdict(),
        "hidden": network.sizes[1:-1],
    }
    if alone:
        known["pixelScale"] = byte_scale(network)
        known["layers"] = [
            _packed(layer, activation)
            for layer, activation in zip(
                network.layers, network.activation, strict=True
            )
        ]
    return known


def brightest(network: Network) -> int:
    """Return the value of a fully lit pixel of a drawing, in bytes."""
    return brightest_byte(network.frame.maximum)


def byte_scale(network: Network) -> float:
    """Return the factor for the bytes of a drawing."""
    return network.pixel_range / brightest(network)


def _packed(layer: Layer, activation: str) -> dict[str, Any]:
    """Return a layer; its weight is scaled by the largest entry, as base64 float16."""
    # float16 ends at 65,504; scaled, weights of any size fit.
    scale = float(np.abs(layer.weight).max()) or 1.0
    halves = (np.asarray(layer.weight, np.float64) / scale).astype("<f2")
    return {
        "weight": base64.b64encode(halves.tobytes()).decode(),
        "scale": scale,
        "bias": np.asarray(layer.bias).tolist(),
        "activation": activation,
    }


def _asset(name: str) -> str:
    return (ASSETS / name).read_text("utf-8")


def _digest(content: str) -> str:
    """Return the source expression of a policy that allows this inline content."""
    sha256 = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(sha256).decode()}'"
