"""The server of the page: it takes a picture and returns the network's answer."""

from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from nnx.data.dataset import Array
from nnx.maths.losses import softmax
from nnx.maths.network import forward
from nnx.maths.ops import Ops
from nnx.network import Network
from nnx.page.render import brightest, byte_scale, page

# Host names that browsers on this machine use. A page of another name that resolves to
# this machine (DNS rebinding) sends its own name, and is refused.
LOCAL = ["127.0.0.1", "localhost"]
KIND = "application/octet-stream"
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def app(network: Network, *, hosts: list[str]) -> Starlette:
    """Return the application: the page at /, and the network's answers at /answer.

    network: takes pictures
    hosts: the accepted names in the Host header; "*": any
    """
    shown = page(network, alone=False)
    policy = f"{shown.policy}; frame-ancestors 'none'"
    page_headers = HEADERS | {"Content-Security-Policy": policy}

    async def show(request: Request) -> Response:
        return HTMLResponse(shown.html, headers=page_headers)

    async def reply(request: Request) -> Response:
        if request.headers.get("content-type") != KIND:
            return _refusal(415, f"the type must be {KIND}")
        if request.headers.get("x-network", shown.key) != shown.key:
            return _refusal(409, "this page is of another network: reload it")
        size = network.sizes[0]
        content = await _body(request, size)
        if content is None:
            return _refusal(413, f"a picture is {size} bytes, a pixel each")
        if len(content) != size:
            return _refusal(400, f"a picture is {size} bytes, not {len(content)}")
        pixels = np.frombuffer(content, np.uint8)
        if pixels.max() > brightest(network):
            return _refusal(400, f"a pixel is at most {brightest(network)}")
        return JSONResponse(answer(network, pixels), headers=HEADERS)

    return Starlette(
        routes=[Route("/", show), Route("/answer", reply, methods=["POST"])],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)],
    )


def answer(network: Network, pixels: Array) -> dict[str, Any]:
    """Return the probability of each class, and the outputs of each hidden layer.

    pixels: (features,), uint8 in [0, brightest(network)]
    """
    x = pixels[None].astype(network.layers[0].weight.dtype)
    x = x * byte_scale(network)
    passed = forward(network.layers, x, network.activation, Ops(np))
    probabilities = softmax(passed.logits, xp=np)
    return {
        "probabilities": _numbers(probabilities[0]),
        "hidden": [_numbers(cache.x[0]) for cache in passed.caches[1:]],
    }


def _numbers(values: Array) -> list[float]:
    """Return values for JSON, rounded to 6 decimals, with infinity and NaN replaced."""
    rounded = np.asarray(values, np.float64).round(6)  # it may overflow
    return [float(value) for value in np.nan_to_num(rounded)]


async def _body(request: Request, most: int) -> bytes | None:
    """Return the body of a request; None as soon as it exceeds `most` bytes."""
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > most:
            return None
    return content


def _refusal(status: int, reason: str) -> Response:
    return PlainTextResponse(reason + "\n", status, headers=HEADERS)
