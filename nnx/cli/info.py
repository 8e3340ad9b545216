"""`nnx info`."""

from typing import Any

from nnx.cli import show
from nnx.cli.options import Json


def info(json: Json = False) -> None:
    """Show versions, BLAS kernels and threads, and which backends are usable."""
    from nnx.installation import info as gather

    found = gather()
    if json:
        show.as_json(found)
        return
    show.line(f"nnx {found['nnx']}, Python {found['python']}, {found['platform']}")
    show.line(f"cores: {found['cores']}")
    for name, version in found["packages"].items():
        show.line(f"{name}: {version or 'not installed'}")
    for library in found["blas"]:
        show.line(
            f"BLAS: {library['library']} {library['version']}, {library['kernels']} "
            f"kernels, {library['threads']} threads"
        )
    if found["warning"]:
        show.line(f"warning: {found['warning']}")
    for name, backend in found["backends"].items():
        show.line(f"backend {name}: {_words(backend)}")


def _words(backend: dict[str, Any]) -> str:
    if backend["usable"]:
        return f"usable, on {backend['device']}"
    return f"not usable: {backend['why']}"
