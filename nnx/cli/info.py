"""`nnx info`."""

from nnx.cli import show
from nnx.cli.options import Json


def info(json: Json = False) -> None:
    """Show versions, BLAS kernels and threads, and which backends are usable."""
    from nnx.installation import info as gather

    facts = gather()
    if json:
        show.as_json(facts)
        return
    show.line(f"nnx {facts['nnx']}, Python {facts['python']}, {facts['platform']}")
    show.line(f"cores: {facts['cores']}")
    for name, version in facts["packages"].items():
        show.line(f"{name}: {version or 'not installed'}")
    for library in facts["blas"]:
        show.line(
            f"BLAS: {library['library']} {library['version']}, {library['kernels']} "
            f"kernels, {library['threads']} threads"
        )
    if facts["warning"]:
        show.line(f"warning: {facts['warning']}")
    for name, backend in facts["backends"].items():
        if backend["usable"]:
            precisions = "".join(f", also in {kind}" for kind in backend["precisions"])
            show.line(f"backend {name}: usable, on {backend['device']}{precisions}")
        else:
            show.line(f"backend {name}: not usable: {backend['why']}")
