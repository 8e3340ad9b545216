"""`nnx gradcheck`."""

from typing import Annotated

import typer

from nnx.cli import show
from nnx.cli.options import Json

BOUND = 1e-6


def gradcheck(
    backend: Annotated[
        str, typer.Option(help="A backend's name, or all that are usable.")
    ] = "numpy",
    json: Json = False,
) -> None:
    """Compare backpropagation with central differences of the loss, in float64.

    Every activation, depths 1 to 4, with and without L2. Exits with status 1 if any
    relative error reaches 1e-6.
    """
    from nnx import backend as backends
    from nnx.errors import BackendError
    from nnx.gradient_check import gradcheck as run

    results = []
    for name in backends.names() if backend == "all" else [backend]:
        try:
            chosen = backends.find(name)
        except BackendError as error:
            if backend != "all":
                raise
            show.note(f"{name} left out: {error}")
            continue
        show.note(f"checking {name} …")
        results += run(chosen)
    worst = max(check.max_relative_error for check in results)
    if json:
        rows = [check._asdict() for check in results]
        show.as_json({"rows": rows, "worst": worst})
    else:
        cells = [[c.case, c.backend, f"{c.max_relative_error:.1e}"] for c in results]
        show.table(
            "backpropagation against central differences",
            ["network", "backend", "max relative error"],
            cells,
        )
        show.line(
            f"worst {worst:.1e}, {'below' if worst < BOUND else 'NOT below'} 1e-6"
        )
    # Written so that NaN fails too.
    if not worst < BOUND:
        raise typer.Exit(1)
