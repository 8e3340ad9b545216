"""The gradient check of a user's own network: what it finds, and what it leaves."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import nnx
from nnx.backend import Backend
from nnx.data.dataset import Dataset, Split
from nnx.errors import InputError
from nnx.maths import activations, losses, regularization
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.network import forward
from nnx.network import Network
from nnx.settings import complete
from nnx.verify import differences, gradients, own_network
from nnx.verify.cases import union
from nnx.verify.compare import PLAIN
from nnx.verify.own_network import ParameterCheck

OPTIONS: tuple[dict[str, Any], ...] = (
    {"l1": 0.01},
    {"l2": 0.01},
    {"label_smoothing": 0.1},
    {"class_weights": (0.5, 1.0, 2.0)},
)


def missed(rows: list[ParameterCheck]) -> list[tuple[int, str]]:
    return [(row.layer, row.parameter) for row in rows if not row.within_bound]


def test_digits() -> None:
    data = nnx.load("digits")
    network = Network([64, 40, 250, 10], ["relu", "tanh"])
    before = [layer.weight.copy() for layer in network.layers]
    trained = nnx.train(network, data, epochs=2, backend="numpy").network
    rows = nnx.gradcheck(trained, data)
    names = [(row.layer, row.parameter, row.shape) for row in rows]
    assert names == [
        (i, name, shape)
        for i, (m, n) in enumerate(pairwise(trained.sizes), 1)
        for name, shape in (("weight", (m, n)), ("bias", (n,)))
    ]
    assert [row.entries + row.at_kinks for row in rows] == [200, 40, 200, 200, 200, 10]
    for row in rows:
        assert (row.backend, row.bound) == ("numpy", 1e-6)
        assert row.max_relative_error < 1e-8
        assert row.largest > 1e-3
        assert row.entries > 0.9 * (row.entries + row.at_kinks)
    assert rows == nnx.gradcheck(trained, data)
    for layer, weight in zip(network.layers, before, strict=True):
        np.testing.assert_array_equal(layer.weight, weight)


def test_a_pair_is_taken_as_for_training() -> None:
    x = np.random.default_rng(0).random((60, 4))
    network, y = Network([4, 5, 3], "tanh"), np.arange(60) % 3
    assert nnx.gradcheck(network, (x, y)) == nnx.gradcheck(network, nnx.dataset(x, y))
    with pytest.raises(InputError, match="a part of a data set does not tell its sc"):
        nnx.gradcheck(network, nnx.dataset(x, y).train)


@pytest.mark.parametrize("options", [{}, union(*OPTIONS)], ids=["plain", "all"])
def test_every_backend(
    data: Dataset, backend: Backend, options: dict[str, Any]
) -> None:
    network = Network([25, 6, 5, 3], ["silu", "leaky_relu"])
    assert missed(nnx.gradcheck(network, data, backend=backend, **options)) == []


@pytest.mark.parametrize("task", ["multilabel", "regression"])
def test_every_backend_on_targets(backend: Backend, task: str) -> None:
    """Labels are bytes, and values float32: neither is what is computed in."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (90, 4)).astype(np.float32)
    targets = x[:, :2] + x[:, 2:]
    y = targets > 0 if task == "multilabel" else targets
    data = nnx.dataset(x, y.astype(np.float32), scale="standard", task=task)
    assert data.task == task
    network = Network([4, 6, 2], "tanh")
    assert missed(nnx.gradcheck(network, data, backend=backend)) == []


@pytest.mark.parametrize("name", sorted(ACTIVATIONS.keys() - {"identity"}))
def test_a_wrong_activation_s_gradient_is_found(
    data: Dataset, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the layers below it, from a hundred thousandth on."""
    network = Network([25, 8, 6, 3], ["identity", name])
    assert missed(nnx.gradcheck(network, data)) == []
    right = ACTIVATIONS[name]

    def wrong(*args: Any, **options: Any) -> Any:
        return right.backward(*args, **options) * (1 + 1e-5)

    monkeypatch.setitem(ACTIVATIONS, name, right._replace(backward=wrong))
    rows = nnx.gradcheck(network, data)
    assert missed(rows) == [(i, part) for i in (1, 2) for part in ("weight", "bias")]
    assert rows[0].max_relative_error == pytest.approx(1e-5, rel=0.01)


def test_another_gradient_is_found(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = ACTIVATIONS["tanh"]._replace(backward=activations.relu_backward)
    monkeypatch.setitem(ACTIVATIONS, "tanh", wrong)
    rows = nnx.gradcheck(Network([25, 8, 3], "tanh"), data)
    assert missed(rows) == [(1, "weight"), (1, "bias")]
    assert rows[0].max_relative_error > 0.01


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_an_option_that_the_gradient_forgets_is_found(
    data: Dataset, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network([25, 8, 3], "tanh")
    assert missed(nnx.gradcheck(network, data, **options)) == []
    plain = gradients.backpropagated
    forgotten = {name: type(value)() for name, value in options.items()}

    def forgetful(state: Any, images: Any, index: Any, hyper: Any, backend: Any) -> Any:
        return plain(state, images, index, hyper._replace(**forgotten), backend)

    monkeypatch.setattr(own_network, "backpropagated", forgetful)
    assert (1, "weight") in missed(nnx.gradcheck(network, data, **options))


def test_balanced_classes_are_those_of_the_data(data: Dataset) -> None:
    few = Split(data.train.images[:100], np.repeat([0, 1, 2], [80, 15, 5]))
    network, data = Network([25, 8, 3], "tanh"), data._replace(train=few)
    rows = nnx.gradcheck(network, data, class_weights="balanced")
    counted = (100 / 3 / 80, 100 / 3 / 15, 100 / 3 / 5)
    assert rows == nnx.gradcheck(network, data, class_weights=counted)
    assert rows != nnx.gradcheck(network, data)


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("i", [0, 1, 2])
def test_the_differences_are_those_of_the_whole_network(
    data: Dataset, i: int, name: str
) -> None:
    """A step changes one unit, and then what is above; no more is computed."""
    network = Network([25, 8, 6, 3], ["leaky_relu", "gelu"])
    options = {"l1": 1e-3, "l2": 1e-2, "label_smoothing": 0.1}
    posed = own_network._posed(network, data, complete(options))
    array = getattr(posed.state.layers[i], name)
    places = [(*row, 1) for row in ([], [2])[array.ndim - 1 :][:1]]

    def loss() -> float:
        layers = posed.state.layers
        seen = forward(layers, posed.inputs[0], posed.hyper.activations, PLAIN)
        mean = losses.mean_loss(seen.logits, posed.images.labels, posed.hyper, xp=np)
        penalties = [
            regularization.penalty(layer.weight, 1e-3, 1e-2, xp=np) for layer in layers
        ]
        return float(mean + sum(penalties))

    (got,) = differences.slopes(posed, i, name, places, 1e-6)
    before = array[places[0]]
    array[places[0]] = before + 1e-6
    above = loss()
    array[places[0]] = before - 1e-6
    below = loss()
    array[places[0]] = before
    assert abs(got) > 1e-4
    assert got == pytest.approx((above - below) / 2e-6, abs=1e-8)


def test_the_kinked_activations_are_known() -> None:
    """Second differences about 0 vanish with the step, where the slope is smooth."""
    step = 1e-4
    z = np.array([-step, 0.0, step])
    for name, f in ACTIVATIONS.items():
        y = f.forward(z, xp=np)
        slopes = f.backward(np.ones(3), z if f.from_z else y, xp=np)
        bend = abs(slopes[0] - 2 * slopes[1] + slopes[2]) / step
        assert (bend > 0.5) == ACTIVATIONS[name].bends, name


def test_what_is_at_a_kink_is_left_out(data: Dataset) -> None:
    """All units are at 0, and a step from there bends each that has an input."""
    rows = nnx.gradcheck(Network([25, 4, 3], "relu", init="zeros"), data)
    assert (rows[1].entries, rows[1].at_kinks) == (0, 4)
    assert (rows[2].largest, rows[2].max_relative_error) == (0.0, 0.0)
    assert (rows[3].entries, rows[3].at_kinks) == (3, 0)
    assert missed(rows) == []
    # A step of the first layer bends units of the second.
    network = Network([25, 4, 3, 3], ["tanh", "relu"], init="zeros,auto,auto")
    rows = nnx.gradcheck(network, data)
    assert (rows[1].entries, rows[1].at_kinks) == (0, 4)


def test_raw_pixels_stay_raw(data: Dataset) -> None:
    """A step of a weight is then so much shorter as its input is larger."""
    network = Network([25, 6, 3], "tanh", init="normal:0.001")
    unit, raw = (
        nnx.gradcheck(network.replace(pixels=pixels, frame=data.frame), data)
        for pixels in ("unit", "raw")
    )
    assert missed(unit) == missed(raw) == []
    assert raw[0].largest > 50 * unit[0].largest


def test_a_weight_at_0_is_at_l1_s_kink(data: Dataset) -> None:
    network = Network([25, 3])
    network.layers[0].weight[7] = 1e-6
    (row, _) = nnx.gradcheck(network, data, l1=0.1)
    assert (row.entries, row.at_kinks) == (72, 3)
    (row, _) = nnx.gradcheck(network, data)
    assert (row.entries, row.at_kinks) == (75, 0)


def test_slopes_that_rounding_hides(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is wider, and no wider than to let a wrong gradient through."""
    network = Network([25, *[6] * 8, 3], "sigmoid")
    first, *_, last = nnx.gradcheck(network, data)
    assert first.within_bound
    assert first.largest < 1e-4
    assert 1e-6 == last.bound < first.bound < 1e-2
    wrong = ACTIVATIONS["sigmoid"]._replace(backward=activations.tanh_backward)
    monkeypatch.setitem(ACTIVATIONS, "sigmoid", wrong)
    assert (1, "weight") in missed(nnx.gradcheck(network, data))


def test_a_gradient_where_there_is_none(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = Network([25, 6, 3], "relu")
    network.layers[0].bias[:] = -1e3
    assert missed(nnx.gradcheck(network, data)) == []
    always = ACTIVATIONS["relu"]._replace(backward=activations.identity_backward)
    monkeypatch.setitem(ACTIVATIONS, "relu", always)
    first, *_ = nnx.gradcheck(network, data)
    assert (first.largest, first.max_relative_error) == (0.0, np.inf)


def test_a_gradient_that_is_no_number_is_found(
    data: Dataset, reference: Backend
) -> None:
    def unfilled(*args: Any) -> Any:
        after = reference.run_steps(*args)
        after.layers[0].weight[3, 1] = np.nan
        return after

    backend = replace(reference, own_steps=unfilled)
    rows = nnx.gradcheck(Network([25, 40, 3]), data, backend=backend)
    assert missed(rows) == [(1, "weight")]
    assert rows[0].max_relative_error == np.inf


def test_what_is_drawn() -> None:
    gradient = np.zeros((100, 50))
    gradient[:3, :40] = np.arange(120).reshape(3, 40) + 1
    places = own_network._drawn(gradient, np.random.default_rng(1))
    assert len(places) == len(set(places)) == own_network.ENTRIES
    assert (2, 39) in places
    assert sum(gradient[place] != 0 for place in places) >= own_network.ENTRIES // 2
    assert sum(gradient[place] == 0 for place in places) > own_network.ENTRIES // 4
    assert len(own_network._drawn(gradient[:2], np.random.default_rng(1))) == 100
    flat = own_network._drawn(gradient.ravel(), np.random.default_rng(1))
    assert len(set(flat)) == own_network.ENTRIES


def test_the_images_are_those_of_the_largest_loss(data: Dataset) -> None:
    network = nnx.train(Network([25, 8, 3]), data, epochs=3, backend="numpy").network
    probabilities = network.predict_proba(data.train.images)
    own = probabilities[np.arange(150), data.train.labels]
    posed = own_network._posed(network, data, complete({}))
    worst = np.argsort(own)[: own_network.IMAGES]
    np.testing.assert_array_equal(
        np.sort(posed.images.pixels, axis=0),
        np.sort(data.train.images[worst], axis=0),
    )


def test_what_does_not_fit_is_refused(data: Dataset) -> None:
    network = Network([25, 4, 3])
    with pytest.raises(InputError, match="has 25 features and 3 classes; a network"):
        nnx.gradcheck(Network([24, 3]), data)
    with pytest.raises(InputError, match="class_weights has 2 numbers"):
        nnx.gradcheck(network, data, class_weights=(1.0, 2.0))
    with pytest.raises(InputError, match="l2 must be"):
        nnx.gradcheck(network, data, l2=-1.0)
    network = Network([25, 4, 3], dtype="float64")
    for layer in network.layers:
        layer.weight[:] = 1e200
    with pytest.raises(InputError, match="loss on blobs is not finite"):
        nnx.gradcheck(network, data)


def test_what_it_may_be_called_with(
    data: Dataset, reference: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        gradients, "gradient_cases", lambda: [gradients.Case((5, 4, 3), "tanh", 6)]
    )
    rows = nnx.gradcheck()
    assert [(row.backend, row.network) for row in rows] == [("numpy", "5-4-3 tanh")]
    assert rows == nnx.gradcheck("numpy") == nnx.gradcheck(reference)
    assert rows == nnx.gradcheck(backend=reference)
    anything: Any = nnx.gradcheck
    for args, options in (
        ((Network([25, 3]),), {}),
        (("numpy", data), {}),
        ((), {"l2": 0.1}),
    ):
        with pytest.raises(InputError, match="a Network and a data set or a pair"):
            anything(*args, **options)
    with pytest.raises(InputError, match="gradcheck takes l1, l2, .*, not dropout"):
        anything(Network([25, 3]), data, dropout=0.5)
