"""Averages, bounds, decay, clipping, warm-up and normalization, worked by hand."""

from typing import Any

import numpy as np
import pytest

from nnx.backend import Backend
from nnx.maths import batch_norm, optimizers, regularization, schedules
from nnx.maths.batch_norm import EPSILON, Moments
from nnx.maths.network import Layer, NormedLayer
from nnx.maths.optimizers import Rates
from nnx.maths.schedules import Schedule
from nnx.maths.steps import Epoch, Images, Recipe
from nnx.network import to_device, to_host
from nnx.training import pace
from nnx.training.loop import start
from nnx.training.pace import Pace


def test_a_moving_average(backend: Backend) -> None:
    old, new = (
        to_device([Layer(np.array([[a]]), np.array([b]))], backend)
        for a, b in [(1.0, 0.0), (3.0, 8.0)]
    )
    found = optimizers.averaged(old, new, Rates(0.1, averaging=0.75))
    assert to_host(found, backend) == [Layer([[1.5]], [2.0])]


def test_an_average_forgets_how_it_began() -> None:
    """It keeps (1 + t) / (10 + t) in its first steps, and what was asked for later."""
    rates = pace.rates(Pace(0.1, averaging=0.5), 0, 20, [])
    assert [r.averaging for r in rates[:3]] == [1 / 10, 2 / 11, 3 / 12]
    assert rates[8].averaging == rates[19].averaging == 0.5


def test_the_norm_of_a_unit_s_weights(backend: Backend) -> None:
    weight = backend.from_numpy(np.array([[3.0, 0.3, 0.0], [4.0, 0.4, 0.0]]))
    bounded = regularization.max_norm(weight, 2.0, xp=backend.xp)
    np.testing.assert_allclose(
        backend.to_numpy(bounded), [[1.2, 0.3, 0.0], [1.6, 0.4, 0.0]], rtol=1e-15
    )


def test_penalties(backend: Backend) -> None:
    weight = backend.from_numpy(np.array([[1.0, -2.0], [0.0, 3.0]]))
    found = regularization.penalty(weight, 0.5, 0.1, xp=backend.xp)
    assert float(backend.to_numpy(found)) == pytest.approx(0.5 * 6 + 0.05 * 14)
    slope = regularization.penalty_backward(
        0.0 * weight, weight, 0.5, 0.1, xp=backend.xp
    )
    np.testing.assert_allclose(
        backend.to_numpy(slope), [[0.6, -0.7], [0.0, 0.8]], rtol=1e-15
    )


def test_clipping_is_of_all_layers_as_one(backend: Backend) -> None:
    layers = [
        Layer(np.array([[2.0]]), np.array([1.0])),
        Layer(np.array([[2.0]]), np.array([0.0])),
    ]
    gradients = to_device(layers, backend)
    for most, share in ((1.5, 0.5), (3.0, 1.0), (5.0, 1.0)):
        clipped = optimizers.clipped(gradients, most, xp=backend.xp)
        got = [float(a.item()) for la in to_host(clipped, backend) for a in la]
        assert got == pytest.approx([2 * share, share, 2 * share, 0.0])


def one_step(backend: Backend, **options: Any) -> Layer:
    """Return zero weights' layer [[0, 0]], [0, 0] after a step on x = 1, label 0.

    The gradient of both is (-1/2, 1/2).
    """
    zeros = Layer(np.array([[0.0, 0.0]]), np.zeros(2))
    images = Images(*map(backend.from_numpy, (np.ones((1, 1)), np.array([0]))))
    recipe = Recipe(("identity",), 1.0, 1, **options)
    state = start(to_device([zeros], backend), backend, optimizer=recipe.optimizer)
    epoch = Epoch(backend.from_numpy(np.array([0])), [Rates(0.1, 0.5)])
    after = backend.run_steps(state.state, images, epoch, 0, 1, recipe, backend)
    return to_host(after.layers, backend)[0]


@pytest.mark.parametrize(
    ("options", "moved"),
    [
        ({}, 0.05),
        ({"optimizer": "momentum"}, 0.05),
        ({"optimizer": "nesterov"}, 0.075),
        ({"optimizer": "rmsprop", "beta2": 0.75}, 0.2),
        ({"optimizer": "adam", "beta2": 0.75}, 0.1),
        ({"smoothing": 0.2}, 0.04),
        ({"class_weights": (3.0, 1.0)}, 0.05),
        ({"clip_norm": 0.5}, 0.025),
    ],
)
def test_one_step_of_each(
    options: dict[str, Any], moved: float, backend: Backend
) -> None:
    weight, bias = one_step(backend, **options)
    np.testing.assert_allclose(weight, [[moved, -moved]], rtol=1e-7)
    np.testing.assert_allclose(bias, [moved, -moved], rtol=1e-7)


def test_the_bound_is_on_weights_alone(backend: Backend) -> None:
    weight, bias = one_step(backend, max_norm=0.01)
    np.testing.assert_allclose(weight, [[0.01, -0.01]], rtol=1e-12)
    np.testing.assert_allclose(bias, [0.05, -0.05], rtol=1e-12)


def test_normalizing_two_images(backend: Backend) -> None:
    """Of 1 and 5, the mean is 3, the variance 4, and without bias 8."""
    z, gain, bias = (
        backend.from_numpy(np.array(a)) for a in ([[1.0], [5.0]], [2.0], [7.0])
    )
    moments = Moments(*map(backend.from_numpy, (np.array([10.0]), np.array([20.0]))))
    y, _, after = batch_norm.forward(z, gain, bias, moments, xp=backend.xp)
    off = 2 * 2 / np.sqrt(4 + EPSILON)
    np.testing.assert_allclose(backend.to_numpy(y), [[7 - off], [7 + off]], rtol=1e-14)
    assert backend.to_numpy(after.mean) == pytest.approx(0.9 * 10 + 0.1 * 3)
    assert backend.to_numpy(after.variance) == pytest.approx(0.9 * 20 + 0.1 * 8)


def test_one_image_alone_takes_the_running_moments(backend: Backend) -> None:
    z, gain, bias = (backend.from_numpy(np.array(a)) for a in ([[16.0]], [2.0], [7.0]))
    moments = Moments(*map(backend.from_numpy, (np.array([10.0]), np.array([9.0]))))
    y, _, after = batch_norm.forward(z, gain, bias, moments, xp=backend.xp)
    assert backend.to_numpy(y) == pytest.approx(2 * 6 / np.sqrt(9 + EPSILON) + 7)
    assert backend.to_numpy(after.mean) == 10
    assert backend.to_numpy(after.variance) == 9


def test_a_last_batch_of_one_changes_no_moments(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    layers = [Layer(rng.normal(size=s), np.zeros(s[1])) for s in ((4, 5), (5, 3))]
    images = Images(
        backend.from_numpy(rng.normal(size=(9, 4))),
        backend.from_numpy(rng.integers(0, 3, 9)),
    )
    recipe = Recipe(("tanh", "identity"), 1.0, 4)
    epoch = Epoch(backend.from_numpy(np.arange(9)), [Rates(0.1)] * 3)
    state = start(to_device(layers, backend), backend, batch_norm=True).state
    before, after = (
        backend.run_steps(state, images, epoch, 0, last, recipe, backend)
        for last in (2, 3)
    )
    assert isinstance(after.layers[0], NormedLayer)
    for a, b in zip(before.moments[0], after.moments[0], strict=True):
        np.testing.assert_array_equal(backend.to_numpy(a), backend.to_numpy(b))
    one, other = (to_host(s.layers, backend)[0] for s in (before, after))
    assert all(np.abs(a - b).max() > 0 for a, b in zip(one, other, strict=True))
    assert np.isfinite(backend.to_numpy(after.loss_sum))


def test_plateaus_by_hand() -> None:
    """After 5 came two without better: a plateau; then 6, and two more."""
    scores = [3, 5, 5, 4, 6, 6, 2, 1]
    counts = [schedules.plateaus(scores[:n], 2) for n in range(9)]
    assert counts == [0, 0, 0, 0, 1, 1, 1, 2, 2]


def test_a_plateau_halves_the_rate() -> None:
    paced = Pace(0.8, schedule=Schedule("plateau", factor=0.5, patience=1), epochs=9)
    rates = [pace.rates(paced, n, 3, [0.5, 0.5, 0.6, 0.6][:n]) for n in range(5)]
    assert [each[0].learning_rate for each in rates] == [0.8, 0.8, 0.4, 0.4, 0.2]
    assert all(len(each) == 3 == each.count(each[0]) for each in rates)


def test_a_warm_up() -> None:
    """Of one epoch of four steps, to 1; then down by a quarter in each epoch."""
    paced = Pace(1.0, schedule=Schedule("linear", warmup=1.0), epochs=5)
    first, second = (pace.rates(paced, n, 4, []) for n in (0, 1))
    assert [r.learning_rate for r in first] == [0.25, 0.5, 0.75, 1.0]
    found = [r.learning_rate for r in second]
    assert found == pytest.approx([1.0, 15 / 16, 14 / 16, 13 / 16])


def test_adam_s_scales() -> None:
    paced = Pace(0.1, 0.9, optimizer="adam", beta2=0.99)
    first, second = pace.rates(paced, 0, 2, [])
    assert first[2:4] == pytest.approx((10, 100))
    assert second[2:4] == pytest.approx((1 / 0.19, 1 / (1 - 0.99**2)))
    assert pace.rates(paced, 1, 2, [])[0].mean_scale == pytest.approx(1 / (1 - 0.9**3))


def test_adam_s_mean_of_equal_gradients_is_the_gradient() -> None:
    """However the momentum rises: from 0, 0.5 to 0.99, or in a warm-up."""
    for course in (
        Schedule("linear", to=0.99),
        Schedule("linear", to=0.99, over=0.2),
        Schedule(warmup=2.0),
    ):
        paced = Pace(0.1, 0.5, momentum_schedule=course, optimizer="adam", epochs=4)
        mean = 0.0
        for rates in (r for n in range(4) for r in pace.rates(paced, n, 45, [])):
            mean = rates.momentum * mean + (1 - rates.momentum)
            assert rates.mean_scale * mean == pytest.approx(1.0, rel=1e-12)


def test_steps_of_a_tenth_are_taken_in_time() -> None:
    schedule = Schedule("step", every=0.1)
    halved = [schedules.value(1.0, i / 10, schedule, 5) for i in range(50)]
    assert halved == [0.5**i for i in range(50)]


def test_rates_do_not_depend_on_how_the_state_was_cut() -> None:
    paced = Pace(0.1, 0.9, Schedule("one-cycle"), Schedule("dip", to=0.8), epochs=4)
    own = [r for n in range(4) for r in pace.rates(paced, n, 5, [])]
    assert len(set(own)) == 20
    assert own == [r for n in range(4) for r in pace.rates(paced, n, 5, [0.1] * n)]


def test_step_numbers_begin_anew_nowhere(backend: Backend) -> None:
    """Dropout in an epoch of two steps, cut in two epochs of one step."""
    layers = [Layer(np.ones((6, 3)), np.zeros(3))]
    images = Images(
        backend.from_numpy(np.random.default_rng(0).normal(size=(8, 6))),
        backend.from_numpy(np.arange(8) % 3),
    )
    recipe = Recipe(("identity",), 1.0, 4, input_dropout=0.5)
    order, rates = backend.from_numpy(np.arange(8)), [Rates(0.1)] * 2
    state = start(to_device(layers, backend), backend).state
    whole = backend.run_steps(
        state, images, Epoch(order, rates, 6), 0, 2, recipe, backend
    )
    for number, rows in ((6, slice(0, 4)), (7, slice(4, 8))):
        part = Epoch(order[rows], rates[:1], number)
        state = backend.run_steps(state, images, part, 0, 1, recipe, backend)
    one, other = (to_host(s.layers, backend)[0].weight for s in (whole, state))
    np.testing.assert_allclose(one, other, rtol=1e-14)
