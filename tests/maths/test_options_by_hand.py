"""Averages, bounds, decay, clipping, warm-up and normalization, worked by hand."""

from typing import Any

import numpy as np
import pytest

from nnx.backend import Backend
from nnx.maths import batch_norm, regularization, schedules
from nnx.maths.arrays import map_arrays
from nnx.maths.batch_norm import EPSILON
from nnx.maths.hyperparameters import Hyperparameters, Schedule
from nnx.maths.schedules import at_steps
from nnx.maths.shards import alone
from nnx.maths.state import (
    Images,
    Layer,
    NormalizedLayer,
    RunningStats,
    initial_state,
)
from nnx.maths.steps import step
from nnx.training.log import Row
from nnx.training.plan import epoch_hyper

PLAIN = Hyperparameters(("identity",), 1.0, 1)


def of_run(**options: Any) -> Hyperparameters:
    return PLAIN._replace(**options)


def of_epoch(
    hyper: Hyperparameters, epoch: int, steps_per_epoch: int
) -> list[Hyperparameters]:
    """Return the hyperparameters of each of an epoch's steps."""
    first = epoch * steps_per_epoch
    return list(at_steps(hyper, first, steps_per_epoch, steps_per_epoch))


def test_a_moving_average(backend: Backend) -> None:
    """At learning rate 0 the layers stay, and their average comes nearer to them."""
    old, new = (
        map_arrays(backend.from_numpy, [Layer(np.array([[a]]), np.array([b]))])
        for a, b in [(1.0, 0.0), (3.0, 8.0)]
    )
    images = Images(*map(backend.from_numpy, (np.ones((1, 1)), np.array([0]))))
    hyper = of_run(learning_rate=0.0, ema_decay=0.75)
    state = initial_state(new, hyper, backend.ops)._replace(ema=old)
    index = backend.from_numpy(np.array([0]))
    after = step(state, images, index, hyper, backend.ops)
    assert map_arrays(backend.to_numpy, after.layers) == [Layer([[3.0]], [8.0])]
    assert map_arrays(backend.to_numpy, after.ema) == [Layer([[1.5]], [2.0])]


def test_an_average_forgets_how_it_began() -> None:
    """It keeps (1 + t) / (10 + t) in its first steps, and what was asked for later."""
    decays = [h.ema_decay for h in of_epoch(of_run(ema_decay=0.5), 0, 20)]
    assert decays[:3] == [1 / 10, 2 / 11, 3 / 12]
    assert decays[8] == decays[19] == 0.5


def test_the_norm_of_a_unit_s_weights(backend: Backend) -> None:
    weight = backend.from_numpy(np.array([[3.0, 0.3, 0.0], [4.0, 0.4, 0.0]]))
    bounded = regularization.max_norm(weight, 2.0, xp=backend.xp)
    np.testing.assert_allclose(
        backend.to_numpy(bounded), [[1.2, 0.3, 0.0], [1.6, 0.4, 0.0]], rtol=1e-15
    )


def test_penalties(backend: Backend) -> None:
    weight = backend.from_numpy(np.array([[1.0, -2.0], [0.0, 3.0]]))
    total = regularization.penalty(weight, 0.5, 0.1, xp=backend.xp)
    assert float(backend.to_numpy(total)) == pytest.approx(0.5 * 6 + 0.05 * 14)
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
    gradients = map_arrays(backend.from_numpy, layers)
    for bound, share in ((1.5, 0.5), (3.0, 1.0), (5.0, 1.0)):
        clipped = regularization.clip_norm(gradients, bound, xp=backend.xp)
        on_host = map_arrays(backend.to_numpy, clipped)
        got = [float(array.item()) for layer in on_host for array in layer]
        assert got == pytest.approx([2 * share, share, 2 * share, 0.0])


def one_step(backend: Backend, **options: Any) -> Layer:
    """Return zero weights' layer [[0, 0]], [0, 0] after a step on x = 1, label 0.

    The gradient of both is (-1/2, 1/2).
    """
    zeros = Layer(np.array([[0.0, 0.0]]), np.zeros(2))
    images = Images(*map(backend.from_numpy, (np.ones((1, 1)), np.array([0]))))
    hyper = of_run(learning_rate=0.1, momentum=0.5, **options)
    layers = map_arrays(backend.from_numpy, [zeros])
    state = initial_state(layers, hyper, backend.ops)
    order = backend.from_numpy(np.array([0]))
    after = backend.run_steps(state, images, order, 1, hyper)
    return map_arrays(backend.to_numpy, after.layers)[0]


@pytest.mark.parametrize(
    ("options", "moved"),
    [
        ({}, 0.05),
        ({"optimizer": "momentum"}, 0.05),
        ({"optimizer": "nesterov"}, 0.075),
        ({"optimizer": "rmsprop", "beta2": 0.75}, 0.2),
        ({"optimizer": "adam", "beta2": 0.75}, 0.1),
        ({"label_smoothing": 0.2}, 0.04),
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


def normalizing(
    z: list[list[float]], variance: float, backend: Backend
) -> tuple[np.ndarray, RunningStats]:
    """Return what a unit of gamma 2 and bias 7 makes of z, and its statistics then.

    variance: the running one before; the running mean is 10
    """
    weight, bias, gamma, mean, var, own = (
        backend.from_numpy(np.array(a))
        for a in ([[1.0]], [7.0], [2.0], [10.0], [variance], z)
    )
    layer, stats = NormalizedLayer(weight, bias, gamma), RunningStats(mean, var)
    y, _, after = alone(batch_norm.forward(own, layer, stats, xp=backend.xp))
    return backend.to_numpy(y), map_arrays(backend.to_numpy, after)


def test_normalizing_two_images(backend: Backend) -> None:
    """Of 1 and 5, the mean is 3, the variance 4, and without bias 8."""
    y, after = normalizing([[1.0], [5.0]], 20.0, backend)
    off = 2 * 2 / np.sqrt(4 + EPSILON)
    np.testing.assert_allclose(y, [[7 - off], [7 + off]], rtol=1e-14)
    assert after.mean == pytest.approx(0.9 * 10 + 0.1 * 3)
    assert after.variance == pytest.approx(0.9 * 20 + 0.1 * 8)


def test_one_image_alone_takes_the_running_statistics(backend: Backend) -> None:
    y, after = normalizing([[16.0]], 9.0, backend)
    assert y == pytest.approx(2 * 6 / np.sqrt(9 + EPSILON) + 7)
    assert after.mean == 10
    assert after.variance == 9


def test_a_last_batch_of_one_changes_no_statistics(backend: Backend) -> None:
    rng = np.random.default_rng(0)
    layers = [Layer(rng.normal(size=s), np.zeros(s[1])) for s in ((4, 5), (5, 3))]
    images = Images(
        backend.from_numpy(rng.normal(size=(9, 4))),
        backend.from_numpy(rng.integers(0, 3, 9)),
    )
    hyper = Hyperparameters(
        ("tanh", "identity"), 1.0, 4, learning_rate=0.1, batch_norm=True
    )
    order = backend.from_numpy(np.arange(9))
    moved = map_arrays(backend.from_numpy, layers)
    state = initial_state(moved, hyper, backend.ops)
    before, after = (
        backend.run_steps(state, images, order, count, hyper) for count in (2, 3)
    )
    assert isinstance(after.layers[0], NormalizedLayer)
    assert after.running_stats[1] is None
    for a, b in zip(before.running_stats[0], after.running_stats[0], strict=True):
        np.testing.assert_array_equal(backend.to_numpy(a), backend.to_numpy(b))
    one, other = (map_arrays(backend.to_numpy, s.layers)[0] for s in (before, after))
    assert all(np.abs(a - b).max() > 0 for a, b in zip(one, other, strict=True))
    assert np.isfinite(backend.to_numpy(after.loss_sum))


def test_plateaus_by_hand() -> None:
    """After 5 came two without better: a plateau; then 6, and two more."""
    scores = [3, 5, 5, 4, 6, 6, 2, 1]
    counts = [schedules.plateaus(scores[:n], 2) for n in range(9)]
    assert counts == [0, 0, 0, 0, 1, 1, 1, 2, 2]


def test_a_plateau_halves_the_rate() -> None:
    schedule = Schedule("plateau", factor=0.5, patience=1)
    hyper = of_run(learning_rate=0.8, schedule=schedule, epochs=9)
    log = tuple(
        Row(n, 1.0, 0.5, 1.0, accuracy, None, None, 1.0)
        for n, accuracy in enumerate([0.5, 0.5, 0.6, 0.6], 1)
    )
    epochs = [of_epoch(epoch_hyper(hyper, log[:n]), n, 3) for n in range(5)]
    rates = [each[0].learning_rate for each in epochs]
    assert rates == [0.8, 0.8, 0.4, 0.4, 0.2]
    assert all(len(each) == 3 == each.count(each[0]) for each in epochs)


def test_what_does_not_vary_is_the_same_record() -> None:
    plateau = Schedule("plateau")
    for hyper in (of_run(), of_run(momentum=0.9), of_run(schedule=plateau)):
        assert all(each is hyper for each in at_steps(hyper, 5, 4, 3))


def test_a_warm_up() -> None:
    """Of one epoch of four steps, to 1; then down by a quarter in each epoch."""
    schedule = Schedule("linear", warmup=1.0)
    hyper = of_run(learning_rate=1.0, schedule=schedule, epochs=5)
    first, second = (of_epoch(hyper, n, 4) for n in (0, 1))
    assert [h.learning_rate for h in first] == [0.25, 0.5, 0.75, 1.0]
    rates = [h.learning_rate for h in second]
    assert rates == pytest.approx([1.0, 15 / 16, 14 / 16, 13 / 16])


def test_adam_s_corrections() -> None:
    hyper = of_run(learning_rate=0.1, momentum=0.9, optimizer="adam", beta2=0.99)
    first, second = of_epoch(hyper, 0, 2)
    assert first[-2:] == pytest.approx((10, 100))
    assert second[-2:] == pytest.approx((1 / 0.19, 1 / (1 - 0.99**2)))
    assert of_epoch(hyper, 1, 2)[0].mean_correction == pytest.approx(1 / (1 - 0.9**3))


def test_adam_s_mean_of_equal_gradients_is_the_gradient() -> None:
    """However the momentum rises: from 0, 0.5 to 0.99, or in a warm-up."""
    for schedule in (
        Schedule("linear", to=0.99),
        Schedule("linear", to=0.99, over=0.2),
        Schedule(warmup=2.0),
    ):
        hyper = of_run(
            momentum=0.5, momentum_schedule=schedule, optimizer="adam", epochs=4
        )
        mean = 0.0
        for now in (h for n in range(4) for h in of_epoch(hyper, n, 45)):
            mean = now.momentum * mean + (1 - now.momentum)
            assert now.mean_correction * mean == pytest.approx(1.0, rel=1e-12)


def test_steps_of_a_tenth_are_taken_in_time() -> None:
    schedule = Schedule("step", every=0.1)
    halved = [schedules.value(1.0, i / 10, schedule, 5) for i in range(50)]
    assert halved == [0.5**i for i in range(50)]


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_a_step_s_numbers_do_not_depend_on_how_the_run_was_cut(optimizer: str) -> None:
    hyper = of_run(
        learning_rate=0.1,
        momentum=0.9,
        beta2=0.99,
        schedule=Schedule("one-cycle"),
        momentum_schedule=Schedule("dip", to=0.8),
        optimizer=optimizer,
        ema_decay=0.999,
        epochs=4,
    )
    whole = list(at_steps(hyper, 0, 20, 5))
    assert len(set(whole)) == 20
    assert whole == [h for n in range(4) for h in of_epoch(hyper, n, 5)]
    for first, count in [(0, 1), (3, 9), (19, 1), (7, 0)]:
        assert list(at_steps(hyper, first, count, 5)) == whole[first : first + count]


def test_adam_s_corrections_of_a_late_step_are_those_of_the_whole_run() -> None:
    """What is left of the beginning is looked up from the start, or is nothing."""
    hyper = of_run(momentum=0.9, optimizer="adam", beta2=0.999, epochs=9)
    whole = list(at_steps(hyper, 0, 900, 100))
    for first in (1, 100, 430, 450, 899):
        assert next(at_steps(hyper, first, 1, 100)) == whole[first]


def test_step_numbers_begin_anew_nowhere(backend: Backend) -> None:
    """Dropout in an epoch of two steps, cut in two epochs of one step."""
    layers = [Layer(np.ones((6, 3)), np.zeros(3))]
    images = Images(
        backend.from_numpy(np.random.default_rng(0).normal(size=(8, 6))),
        backend.from_numpy(np.arange(8) % 3),
    )
    hyper = Hyperparameters(("identity",), 1.0, 4, learning_rate=0.1, input_dropout=0.5)
    order = backend.from_numpy(np.arange(8))
    moved = map_arrays(backend.from_numpy, layers)
    state = initial_state(moved, hyper, backend.ops)._replace(step=6)
    whole = backend.run_steps(state, images, order, 2, hyper)
    for rows in (slice(0, 4), slice(4, 8)):
        state = backend.run_steps(state, images, order[rows], 1, hyper)
    assert whole.step == state.step == 8
    one, other = (
        map_arrays(backend.to_numpy, s.layers)[0].weight for s in (whole, state)
    )
    np.testing.assert_allclose(one, other, rtol=1e-14)
