"""Activations against their definitions in high-precision terms, at any size of z."""

import math

import numpy as np
import pytest

from nnx.backend import Backend
from nnx.maths.activations import ACTIVATIONS


def _gate(z: float) -> float:
    """Return (1 + tanh(a))/2 with gelu's a, as 1/(1 + exp(-2 a))."""
    return 1 / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def _argument_slope(z: float) -> float:
    return math.sqrt(2 / math.pi) * (1 + 3 * 0.044715 * z**2)


# Definitions in Python's own mathematics, where they do not overflow.
DEFINITIONS = {
    "identity": lambda z: z,
    "relu": lambda z: max(z, 0.0),
    "leaky_relu": lambda z: z if z > 0 else 0.01 * z,
    "elu": lambda z: z if z > 0 else math.exp(z) - 1,
    "tanh": math.tanh,
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "softplus": lambda z: math.log(1 + math.exp(z)),
    "silu": lambda z: z / (1 + math.exp(-z)),
    "gelu": lambda z: z * _gate(z),
}
DERIVATIVES = {
    "identity": lambda z: 1.0,
    "relu": lambda z: float(z > 0),
    "leaky_relu": lambda z: 1.0 if z > 0 else 0.01,
    "elu": lambda z: 1.0 if z > 0 else math.exp(z),
    "tanh": lambda z: 1 - math.tanh(z) ** 2,
    "sigmoid": lambda z: math.exp(-z) / (1 + math.exp(-z)) ** 2,
    "softplus": lambda z: 1 / (1 + math.exp(-z)),
    "silu": lambda z: (1 + math.exp(-z) + z * math.exp(-z)) / (1 + math.exp(-z)) ** 2,
    # (σ(2a))' = 2 a' σ (1 - σ)
    "gelu": lambda z: _gate(z) + z * _gate(z) * _gate(-z) * 2 * _argument_slope(z),
}
POINTS = [-20.0, -3.0, -1.0, -0.1, 0.0, 0.1, 0.5, 1.0, 3.0, 20.0]


def test_every_activation_is_tested() -> None:
    assert set(ACTIVATIONS) == set(DEFINITIONS) == set(DERIVATIVES)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_value(name: str, backend: Backend) -> None:
    z = backend.from_numpy(np.array(POINTS))
    y = ACTIVATIONS[name].forward(z, xp=backend.xp)
    expected = [DEFINITIONS[name](point) for point in POINTS]
    np.testing.assert_allclose(backend.to_numpy(y), expected, rtol=1e-8, atol=1e-15)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_gradient_is_taken_from_the_output_or_from_z(
    name: str, backend: Backend
) -> None:
    z = backend.from_numpy(np.array(POINTS))
    dy = backend.from_numpy(np.linspace(-2, 3, len(POINTS)))
    y = ACTIVATIONS[name].forward(z, xp=backend.xp)
    cached = z if ACTIVATIONS[name].from_z else y
    dz = ACTIVATIONS[name].backward(dy, cached, xp=backend.xp)
    expected = np.linspace(-2, 3, len(POINTS)) * [DERIVATIVES[name](p) for p in POINTS]
    np.testing.assert_allclose(backend.to_numpy(dz), expected, rtol=1e-6, atol=1e-14)


@pytest.mark.parametrize(
    ("name", "z", "expected"),
    [
        ("elu", -1e-9, math.expm1(-1e-9)),
        ("sigmoid", -40.0, math.exp(-40)),
        ("softplus", -40.0, math.exp(-40)),
    ],
)
def test_small_values_keep_their_digits(
    name: str, z: float, expected: float, backend: Backend
) -> None:
    """Next to 1, they would be rounded."""
    y = ACTIVATIONS[name].forward(backend.from_numpy(np.array([z])), xp=backend.xp)
    np.testing.assert_allclose(backend.to_numpy(y), expected, rtol=1e-14)
    if name == "softplus":  # whose derivative is the sigmoid
        slope = ACTIVATIONS[name].backward(y * 0 + 1.0, y, xp=backend.xp)
        np.testing.assert_allclose(backend.to_numpy(slope), expected, rtol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_large_inputs_stay_finite_and_dtypes_stay(
    name: str, dtype: str, backend: Backend
) -> None:
    z = backend.from_numpy(np.array([-1e4, -100.0, 0.0, 100.0, 1e4], dtype))
    y = ACTIVATIONS[name].forward(z, xp=backend.xp)
    cached = z if ACTIVATIONS[name].from_z else y
    dz = ACTIVATIONS[name].backward(z, cached, xp=backend.xp)
    for array in (backend.to_numpy(y), backend.to_numpy(dz)):
        assert array.dtype == dtype
        assert np.isfinite(array).all()
