"""A socket to be called at, and the server on it."""

import socket
from typing import Any

from nnx.errors import InputError


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that accepts connections; port 0 is any that is free.

    Raises:
        InputError: a name that is no host here, a port in use or not allowed
    """
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        opened = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--host {host}: {reason}") from None
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(socket.SOMAXCONN)
    except OSError as error:
        opened.close()
        raise InputError(
            f"port {port} of {host} cannot be had: {error.strerror}; give another "
            "--port (0 is any that is free)"
        ) from None
    return opened


def address(opened: socket.socket) -> str:
    """Return the address that a browser is given."""
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def config(app: Any) -> Any:
    """Return how the application is served: quietly, and HTTP alone."""
    from uvicorn import Config

    return Config(
        app, log_config=None, log_level="critical", access_log=False, lifespan="off",
        server_header=False, timeout_graceful_shutdown=1, ws="none",
    )  # fmt: skip


def run(app: Any, opened: socket.socket) -> None:
    """Serve until a signal comes, which is then raised again."""
    from uvicorn import Server

    Server(config(app)).run(sockets=[opened])
