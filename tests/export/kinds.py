"""Networks of every kind, with inputs and outputs that every format must reproduce."""

from typing import NamedTuple

import numpy as np

import nnx
from nnx.data.dataset import Array, Column, Target
from nnx.maths.activations import ACTIVATIONS
from nnx.network import Network

# None of these numbers is of float32.
COLUMNS = (
    Column("year", 2000.1, 12.3),
    Column("colour", categories=("rot", "grün", 'a "quote" \\ ??/')),
    Column("weight\nx = 0 #", -3.1, 0.3),
)
TARGETS = Target("price", 1e5 + 0.1, 3e4 + 0.1), Target("age", 40.1, 9.1)
# What no network is right to the bit of, and all of these should be.
CLOSE = {"float32": 1e-5, "float64": 1e-12}


class Case(NamedTuple):
    """A network, what it is given from outside, and what it should give."""

    network: Network
    given: Array
    wanted: Array

    @property
    def tolerance(self) -> float:
        scale = max(1.0, float(np.abs(self.wanted).max()))
        return CLOSE[self.network.layers[0].weight.dtype.name] * scale


def cases() -> dict[str, Case]:
    every = tuple(ACTIVATIONS)
    digits = nnx.load("digits")
    pixels, frame = digits.test.images[:100], digits.frame
    found = {}
    for dtype in CLOSE:
        wide = [64, *([12] * len(every)), 10]
        network = Network(wide, every, seed=2, dtype=dtype)
        found[f"every activation, {dtype}"] = _pixels(network, pixels, frame=frame)
        found[f"multilabel, {dtype}"] = _pixels(
            Network([64, 10, 3], "relu", dtype=dtype), pixels, frame=frame,
            task="multilabel", classes=("a", "ß", "*/"),
        )  # fmt: skip
        regression = {"task": "regression", "classes": (), "targets": TARGETS}
        found[f"regression, {dtype}"] = _table(
            Network([5, 7, 2], "gelu", dtype=dtype), **regression
        )
        found[f"table, {dtype}"] = _table(Network([5, 7, 4], "elu", dtype=dtype))
    found["raw pixels"] = _pixels(
        Network([64, 8, 10], "silu").replace(pixels="raw"), pixels, frame=frame
    )
    found["pixels to 255"] = _pixels(
        Network([64, 10], dtype="float64"), (pixels * 15).astype(np.uint8),
        frame=frame._replace(maximum=255),
    )  # fmt: skip
    floats = (pixels / 16).astype(np.float32)
    found["float pixels"] = _pixels(
        Network([64, 10]), floats, frame=frame._replace(maximum=1)
    )
    found["outputs wider than all else"] = _table(Network([5, 3, 90], "tanh"))
    many = _pixels(Network([64, 10]), floats, frame=frame._replace(maximum=1000))
    found["pixels above 255"] = many._replace(given=many.given * np.float32(1000))
    plain = tuple(Column(f"x{i}") for i in range(5))
    found["a table as it is"] = _table(Network([5, 3], seed=1), columns=plain)
    for name, *scaled in ("shifted", 3.0, 1.0), ("scaled", 0.0, 3.0):
        columns = tuple(Column(f"x{i}", *scaled) for i in range(5))
        found[f"a table that is only {name}"] = _table(Network([5, 3]), columns=columns)
    return found


def _pixels(network: Network, given: Array, **attributes: object) -> Case:
    network = network.replace(**attributes)
    return Case(network, given, network.predict_proba(given, backend="numpy"))


def _table(network: Network, **attributes: object) -> Case:
    network = network.replace(**({"columns": COLUMNS} | attributes))
    rng = np.random.default_rng(0)
    if network.columns == COLUMNS:
        category = np.eye(3)[rng.integers(0, 3, 50)]
        year, weight = rng.integers(1980, 2024, 50), rng.normal(-3, 0.25, 50)
        given = np.column_stack([year, category, weight])
        features = np.column_stack(
            [(year - 2000.1) / 12.3, category, (weight + 3.1) / 0.3]
        )
    else:
        given = rng.normal(0, 1, (50, 5))
        mean, scale = zip(*((c.mean, c.scale) for c in network.columns), strict=True)
        features = (given - mean) / scale
    features = features.astype(network.layers[0].weight.dtype)
    # Of columns that are not scaled, features of float64 are taken too.
    plain = network.replace(columns=tuple(Column(f"x{i}") for i in range(5)))
    ask = plain.predict if network.task == "regression" else plain.predict_proba
    return Case(network, given, ask(features, backend="numpy"))


CASES = cases()
