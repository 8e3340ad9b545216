"""`nnx parity`, and functions that it shares with `nnx gradcheck`."""

from typing import TYPE_CHECKING, Any

import typer

from nnx.cli import show
from nnx.cli.options import BackendOrAll, Device, Json, on
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.backend import Backend
    from nnx.verify.compare import Agreement


def parity(
    backend: BackendOrAll = "all", device: Device = None, json: Json = False
) -> None:
    """Compare backends with the reference computation in float64 on NumPy.

    The gradients are compared, and the parameters, loss and number of correct images
    after one step and after three, on networks of 1 to 4 layers. Exits with status 1 if
    any error, relative to its array's largest entry, is above 1e-12 in float64 or 1e-5
    in float32.
    """
    from nnx.cli.progress import counted
    from nnx.verify.cases import PARITY_CASES
    from nnx.verify.compare import BOUNDS
    from nnx.verify.parity import REFERENCE, each_case

    backends = chosen(backend, device)
    show.note(f"comparing {', '.join(b.name for b in backends)} …")
    every = len(PARITY_CASES) * len(BOUNDS) * len(backends)
    done = counted(each_case(backends), lambda _: 1, f"of {every:,} comparisons")
    results = list(done)
    if json:
        rows = [as_row(result, "backend", "dtype", "network") for result in results]
        show.as_json({"reference": REFERENCE, "rows": rows})
    else:
        cells = [
            [r.network, r.dtype, r.backend, f"{r.max_relative_error:.1e}"]
            for r in results
        ]
        columns = ["network", "dtype", "backend", "max relative error"]
        show.table(f"every backend against {REFERENCE}", columns, cells)
        for dtype, bound in BOUNDS.items():
            own = [result for result in results if result.dtype == dtype]
            worst = max(result.max_relative_error for result in own)
            missed = [f"{r.backend} {r.network}" for r in own if not r.within_bound]
            verdict = f"NOT met by {', '.join(missed)}" if missed else "met by all"
            show.line(f"{dtype}: worst {worst:.1e}, bound {bound:g} {verdict}")
    if not all(result.within_bound for result in results):
        raise typer.Exit(1)


def as_row(result: "Agreement", *names: str, **renamed: str) -> dict[str, Any]:
    """Return some fields of a result for JSON, and the error."""
    named = {name: name for name in names} | renamed
    row = {name: getattr(result, own) for name, own in named.items()}
    return row | {"max_relative_error": finite(result.max_relative_error)}


def finite(error: float) -> float | None:
    """Return an error for JSON, which has no infinity: null instead."""
    return error if error < float("inf") else None


def chosen(name: str, device: str | None) -> "list[Backend]":
    """Return the backend of this name, or all usable ones; note why others are not.

    Raises:
        InputError: a device is given for all
    """
    from nnx.backend import find, usable

    if name != "all":
        return [find(name, **on(device))]
    if device is not None:
        raise InputError("--device goes with one --backend, not all")
    backends, left_out = usable()
    for name, why in left_out.items():
        show.note(f"{name} left out: {why}")
    return backends
