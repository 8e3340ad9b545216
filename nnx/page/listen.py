"""A listening socket, and the server that uses it."""

import errno
import ipaddress
import os
import socket
from typing import Any

from nnx.errors import InputError


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that accepts connections; port 0: any free port.

    Raises:
        InputError: the host is not an address of this machine, or the port is in use or
            not allowed
    """
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM
        )
        opened = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"--host {host}: {reason}") from None
    try:
        if os.name == "posix":  # on Windows it would share a port that is in use
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(socket.SOMAXCONN)
    except OSError as error:
        opened.close()
        advice = "give another --port (0 is any that is free)"
        if error.errno == errno.EADDRNOTAVAIL:
            advice = "--host is an address of this machine, or 0.0.0.0 for all"
        raise InputError(
            f"cannot listen on port {port} of {host}: {error.strerror}; {advice}"
        ) from None
    return opened


def addresses(opened: socket.socket) -> str:
    """Return the URL for a browser, and one for other machines' if all may connect."""
    host, port = opened.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        local = "[::1]" if ":" in host else "127.0.0.1"
        named = f"http://{socket.gethostname()}:{port}/"
        return f"http://{local}:{port}/, on other machines {named}"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def config(app: Any) -> Any:
    """Return the server's configuration: no log, and only HTTP."""
    from uvicorn import Config

    return Config(
        app, log_config=None, log_level="critical", access_log=False, lifespan="off",
        server_header=False, timeout_graceful_shutdown=1, ws="none",
    )  # fmt: skip


def run(app: Any, opened: socket.socket) -> None:
    """Serve until a signal arrives, which is then raised again."""
    from uvicorn import Server

    Server(config(app)).run(sockets=[opened])
