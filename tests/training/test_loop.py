"""The loop and its folder: a run that is stopped anywhere ends with the same bits."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nnx
from nnx import Network, evaluate, train
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.errors import DivergedError, OutOfMemoryError
from nnx.maths import steps
from nnx.maths.state import State
from nnx.model_file import CHECKPOINT_NAME, MODEL_NAME
from nnx.settings import complete
from nnx.training import loop
from nnx.training.folder import LOG_NAME
from nnx.training.plan import Progress
from nnx.training.run import Run
from nnx.verify import gradients

SETTINGS = {"epochs": 3, "batch_size": 16, "learning_rate": 0.3, "l2": 1e-3, "seed": 5}


@pytest.fixture(autouse=True)
def _updates_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each chunk one step, so that a run can be stopped after any of them."""
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)


def _bits(folder: Path) -> bytes:
    return (folder / MODEL_NAME).read_bytes()


def _log(folder: Path) -> list[str]:
    """Return the log without its last column, the seconds."""
    lines = (folder / LOG_NAME).read_text().splitlines()
    return [line.rpartition(",")[0] for line in lines]


def test_it_learns(network: Network, data: Dataset, backend: Backend) -> None:
    result = train(network, data, backend=backend, **SETTINGS | {"epochs": 10})
    assert result.test_accuracy > 0.95
    assert result.log[0].train_loss > 2 * result.log[-1].train_loss
    assert not result.stopped


def test_the_network_given_is_left_as_it_was(network: Network, data: Dataset) -> None:
    before = [layer.weight.copy() for layer in network.layers]
    result = train(network, data, **SETTINGS)
    for old, layer in zip(before, network.layers, strict=True):
        np.testing.assert_array_equal(old, layer.weight)
    assert (result.network.layers[0].weight != before[0]).any()


def test_every_backend_learns_the_same(
    network: Network, data: Dataset, backend: Backend
) -> None:
    precise = Network([25, 7, 3], "tanh", seed=2, dtype="float64")
    plain, other = (
        train(precise, data, backend=b, **SETTINGS) for b in ("numpy", backend)
    )
    for a, b in zip(plain.network.layers, other.network.layers, strict=True):
        np.testing.assert_allclose(a.weight, b.weight, rtol=1e-9, atol=1e-12)
    assert plain.test_accuracy == other.test_accuracy


def test_two_runs_give_the_same_bits(
    network: Network, data: Dataset, tmp_path: Path, backend: Backend
) -> None:
    for name in "ab":
        train(network, data, backend=backend, out=tmp_path / name, **SETTINGS)
    assert _bits(tmp_path / "a") == _bits(tmp_path / "b")
    assert _log(tmp_path / "a") == _log(tmp_path / "b")


def test_chunks_of_any_length_give_the_same_bits(
    network: Network,
    data: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: Backend,
) -> None:
    train(network, data, backend=backend, out=tmp_path / "single", **SETTINGS)
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 10.0)
    train(network, data, backend=backend, out=tmp_path / "long", **SETTINGS)
    assert _bits(tmp_path / "single") == _bits(tmp_path / "long")


def test_what_a_backend_does_first_is_not_timed(
    network: Network, data: Dataset, reference: Backend
) -> None:
    """As Numba compiles in its first call: a run's speed would be that of LLVM."""
    calls: list[int] = []

    def compile_first(*args: Any) -> State:
        if not calls:
            time.sleep(0.5)
        calls.append(1)
        return reference.run_steps(*args)

    slow = replace(reference, own_steps=compile_first)
    result = train(network, data, backend=slow, **SETTINGS)
    assert result.seconds < 0.5
    plain = train(network, data, backend=reference, **SETTINGS)
    assert result.train_loss == plain.train_loss


STEPS = 3 * 10  # three epochs of 150 images, ten batches each


@pytest.mark.parametrize("stop", range(1, STEPS + 1))
def test_stopped_after_any_step_and_resumed(
    stop: int, network: Network, data: Dataset, tmp_path: Path
) -> None:
    train(network, data, out=tmp_path / "whole", **SETTINGS)
    answers: Iterator[bool] = iter([False] * (stop - 1) + [True])
    first = train(
        network,
        data,
        out=tmp_path / "parts",
        should_stop=lambda: next(answers),
        **SETTINGS,
    )
    assert first.stopped == (stop < STEPS)
    images = stop // 10 * 150 + stop % 10 * 16
    assert first.images_per_second == pytest.approx(images / first.seconds)
    second = train(network, data, out=tmp_path / "parts", resume=True, **SETTINGS)
    assert not second.stopped
    assert _bits(tmp_path / "parts") == _bits(tmp_path / "whole")
    assert _log(tmp_path / "parts") == _log(tmp_path / "whole")


def test_resumed_for_longer(
    network: Network, data: Dataset, tmp_path: Path, backend: Backend
) -> None:
    own = {"backend": backend} | SETTINGS
    train(network, data, out=tmp_path / "whole", **own)
    train(network, data, out=tmp_path / "parts", **own | {"epochs": 1})
    train(network, data, out=tmp_path / "parts", resume=True, **own)
    # The seconds differ, and the epochs asked for are not part of a model.
    assert _bits(tmp_path / "parts") == _bits(tmp_path / "whole")


def test_resumed_on_another_backend(
    network: Network, data: Dataset, tmp_path: Path, backend: Backend
) -> None:
    train(network, data, out=tmp_path, **SETTINGS | {"epochs": 1})
    result = train(
        network, data, out=tmp_path, backend=backend, resume=True, **SETTINGS
    )
    expected = train(network, data, **SETTINGS)
    found, wanted = (r.network.layers[0].weight for r in (result, expected))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("epochs", [1, 5])
def test_divergence_ends_the_run_and_keeps_the_last_good_checkpoint(
    epochs: int, data: Dataset, tmp_path: Path
) -> None:
    network = Network([25, 7, 3], "identity", init="normal:1.0")
    settings = {"batch_size": 50, "pixels": "raw", "learning_rate": 0.001}
    train(network, data, out=tmp_path, epochs=1, **settings)
    before = (tmp_path / CHECKPOINT_NAME).read_bytes()
    wild = Network([25, 7, 3], "identity", init="normal:1e15")
    with pytest.raises(DivergedError, match=r"loss is \w+ in epoch 1 by step \d+"):
        train(wild, data, epochs=epochs, **settings | {"learning_rate": 1000.0})
    assert (tmp_path / CHECKPOINT_NAME).read_bytes() == before


@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid value")
def test_a_loss_of_the_test_images_that_is_not_finite(data: Dataset) -> None:
    """With images held out, the test images are looked at only when all is done."""
    train_part = data.train._replace(images=np.ones_like(data.train.images))
    test_part = data.test._replace(images=np.full_like(data.test.images, 255))
    dim = data._replace(train=train_part, test=test_part)
    network = Network([25, 9, 3], "identity", init="normal:3e17")
    options = {"pixels": "raw", "learning_rate": 1e-30, "validation_fraction": 0.1}
    with pytest.raises(DivergedError, match="the loss is nan when all is done"):
        train(network, dim, epochs=1, **options)
    # Training images are looked at again, with the weights of the last step.
    dark = data._replace(test=test_part._replace(images=0 * test_part.images))
    network = Network([25, 3], init="normal:1e32")
    options = {"pixels": "raw", "learning_rate": 999, "l2": 0.9, "batch_size": "full"}
    with pytest.raises(DivergedError, match=r"the loss is \w+ when all is done"):
        train(network, dark, epochs=1, **options)


def test_a_batch_larger_than_the_set_is_the_whole_set(
    network: Network, data: Dataset
) -> None:
    full, large = (
        train(network, data, **SETTINGS | {"batch_size": size})
        for size in ("full", 10**6)
    )
    np.testing.assert_array_equal(
        full.network.layers[0].weight, large.network.layers[0].weight
    )
    run = Run(network, data, complete({"batch_size": "full"}))
    order = loop.epoch_order(run.plan, run.position)
    np.testing.assert_array_equal(order, np.arange(150))  # nothing to shuffle


def test_progress_is_told(network: Network, data: Dataset) -> None:
    seen: list[Progress] = []
    train(network, data, on_progress=seen.append, **SETTINGS)
    assert len(seen) == STEPS
    assert [p.epochs for p in seen] == pytest.approx(np.arange(1, STEPS + 1) / 10)
    assert sum(p.epoch_ended for p in seen) == 3
    assert all(p.images_per_second > 0 for p in seen)
    ends = [0.0, *(row.seconds for row in seen[-1].position.log)]
    speeds = [p.images_per_second for p in seen if p.epoch_ended]
    assert speeds == pytest.approx(150 / np.diff(ends))


def test_a_run_without_room_says_what_would_take_less(
    network: Network, data: Dataset, reference: Backend, tmp_path: Path
) -> None:
    def no_room(*args: Any) -> State:
        raise OutOfMemoryError("out of memory on the abacus")

    full = replace(reference, own_steps=no_room)
    for size, advice in ((16, "--batch-size 8 or a"), (1, "a"), ("full", "75 or a")):
        settings = SETTINGS | {"batch_size": size}
        with pytest.raises(OutOfMemoryError, match=f"abacus; try .*{advice} smaller"):
            train(network, data, backend=full, out=tmp_path / str(size), **settings)


def test_training_testing_and_predicting_are_in_the_backend_s_scope(
    network: Network,
    data: Dataset,
    reference: Backend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that nothing is made on another device, and no error of a library's leaks."""
    inside: list[bool] = []

    @contextmanager
    def scope() -> Iterator[None]:
        inside.append(True)
        yield
        inside.pop()

    def checked(function: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            assert inside
            return function(*args, **options)

        return call

    functions = "dense_forward", "update", "distort"
    wrapped = {name: checked(getattr(reference.ops, name)) for name in functions}
    ops = reference.ops._replace(**wrapped)
    scoped = replace(
        reference,
        ops=ops,
        from_numpy=checked(reference.from_numpy),
        to_numpy=checked(reference.to_numpy),
        own_steps=checked(partial(steps.run_steps, ops=ops)),
        scope=scope,
    )
    trained = train(network, data, backend=scoped, **SETTINGS).network
    evaluate(trained, data, backend=scoped)
    trained.predict(data.test.images, backend=scoped)
    cases = gradients.gradient_cases()[:3]
    monkeypatch.setattr(gradients, "gradient_cases", lambda: cases)
    assert len(nnx.gradcheck(scoped)) == len(cases)
    assert not inside
    with pytest.raises(AssertionError):
        scoped.from_numpy(data.test.images)
