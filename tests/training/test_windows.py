"""Data in windows: each image once an epoch, and the same bits however a run is cut."""

import tracemalloc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Event, get_ident
from typing import Any

import numpy as np
import pytest
from bits import assert_same_bits
from usable import usable

import nnx
from nnx import Network, evaluate, memory, train
from nnx.backend import Backend, find
from nnx.cli import results
from nnx.data.dataset import Dataset, Split
from nnx.data.rows import Rows, in_file
from nnx.errors import DivergedError
from nnx.maths.arrays import map_arrays
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, State, initial_state
from nnx.model_file import MODEL_NAME
from nnx.settings import complete
from nnx.training import loop, windows
from nnx.training.folder import load_settings
from nnx.training.plan import Part, Plan, Position
from nnx.training.run import Run

SETTINGS: dict[str, Any] = {
    "epochs": 3, "batch_size": 4, "learning_rate": 0.05, "optimizer": "adam",
    "dropout": 0.2, "input_noise": 0.1, "batch_norm": True, "augment": "shift=1",
    "window": 12, "validation_fraction": 0.2,
}  # fmt: skip
N = 50


def write_folder(
    folder: Path, n: int = N, size: tuple[int, ...] = (5, 5), test: int = 15
) -> Path:
    """Write pictures of three classes as four .npy files."""
    chance = np.random.default_rng(0)
    folder.mkdir(exist_ok=True)
    for part, many in ("train", n), ("test", test):
        labels = np.arange(many) % 3
        images = chance.integers(0, 200, (many, *size), np.uint8)
        images[np.arange(many), labels] += 50
        np.save(folder / f"x_{part}.npy", images)
        np.save(folder / f"y_{part}.npy", labels)
    return folder


def in_memory(data: Dataset) -> Dataset:
    """Return the same data without a file."""
    train, test = (
        Split(np.array(part.images), part.labels) for part in (data.train, data.test)
    )
    return data._replace(train=train, test=test)


def bits(folder: Path) -> bytes:
    return (folder / MODEL_NAME).read_bytes()


@pytest.fixture
def filed(tmp_path: Path) -> Dataset:
    data = nnx.load(write_folder(tmp_path / "set"))
    assert in_file(data.train.images)
    assert in_file(data.test.images)
    return data


def plan(n: int, batch: int, window: int, backend: Backend) -> Plan:
    """Return a plan of images that have their own numbers as pixels."""
    pixels = np.arange(n, dtype=np.float32)[:, None]
    images = Images(pixels, backend.from_numpy(np.arange(n) % 2))
    numbers = Hyperparameters(("identity",), 1.0, batch, epochs=9)
    size = windows.whole_batches(window, n, batch)
    return Plan(backend, images, Part(images, 1.0), numbers, window=size)


def begun(made: Plan) -> State:
    return initial_state(Network([25, 3]).layers, made.hyper, made.backend.ops)


@pytest.mark.parametrize("n", [1, 7, 64, 65, 200])
@pytest.mark.parametrize("batch", [1, 4, 32])
@pytest.mark.parametrize("window", [1, 8, 50, 64])
def test_an_epoch_has_each_image_once_and_no_batch_of_two_windows(
    n: int, batch: int, window: int
) -> None:
    made = plan(n, batch, window, find("numpy"))
    orders = [windows.order(made, epoch).tolist() for epoch in range(3)]
    for order in orders:
        assert sorted(order) == list(range(n))
    if n > max(window, batch) and window > 1:
        assert orders[0] != orders[1]
    if made.window and n > 10 * made.window:
        visits = [windows.visited(made, epoch) for epoch in range(3)]
        assert visits[0] != visits[1] != visits[2]
        other = made._replace(hyper=made.hyper._replace(seed=7))
        assert visits[0] != windows.visited(other, 0)
    assert made.window < n
    size = made.window or n
    assert size == n or size % batch == 0
    assert size <= max(batch * -(-window // batch), 1) or not made.window
    for first in range(0, n, batch):
        batch_of = {image // size for image in orders[1][first : first + batch]}
        assert len(batch_of) == 1


def test_without_a_window_s_size_there_are_none() -> None:
    assert windows.whole_batches(0, 50, 4) == 0


def test_windows_are_read_in_the_backend_s_scope() -> None:
    """In the thread that reads them: there, another device may be the current one."""
    entered = []

    @contextmanager
    def scope() -> Iterator[None]:
        entered.append(get_ident())
        yield

    made = plan(50, 4, 16, replace(find("numpy"), scope=scope))
    next(windows.trained(made, Position(begun(made))))
    assert entered
    assert get_ident() not in entered


def test_steps_are_given_the_window_that_their_order_asks_for() -> None:
    made = plan(50, 4, 16, find("numpy"))
    order, coming = windows.order(made, 0), windows.trained(made, Position(begun(made)))
    assert len({tuple(order[first : first + 16] % 16) for first in (0, 16, 32)}) == 3
    step = 0
    while step < made.steps_per_epoch:
        images = next(coming)
        for _ in range(min(made.steps_per_window, made.steps_per_epoch - step)):
            index = order[4 * step : 4 * step + 4]
            np.testing.assert_array_equal(images.pixels[index - images.first, 0], index)
            step += 1


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("window", ["all", 40, 10**6])
def test_one_window_is_the_bits_of_none(
    name: str, window: Any, filed: Dataset, tmp_path: Path
) -> None:
    settings = SETTINGS | {"backend": name}
    settings.pop("window")
    network = Network([25, 9, 3])
    plain = train(network, in_memory(filed), out=tmp_path / "a", **settings)
    other = train(network, filed, out=tmp_path / "b", window=window, **settings)
    assert bits(tmp_path / "a") == bits(tmp_path / "b")
    assert [row[:-2] for row in plain.log] == [row[:-2] for row in other.log]


@pytest.mark.parametrize(
    "name",
    ["numpy", "numba", "strict"]
    + [pytest.param(name, marks=pytest.mark.sweep) for name in ("torch", "jax")]
    + [pytest.param("cupy", marks=pytest.mark.gpu)],
)
def test_steps_in_windows_are_those_with_the_whole_set(
    tmp_path: Path, name: str
) -> None:
    """So what is drawn for an image is what is drawn for it without windows."""
    backend = usable(name)
    filed = nnx.load(write_folder(tmp_path, 48, test=12))
    chosen = {"window": 12, "batch_size": 4, "augment": "shift=1", "epochs": 1}
    settings = complete(chosen)
    run = Run(Network([25, 9, 3]), filed, settings, backend=backend)
    assert run.plan.window == 12
    with run.scope():
        *_, last = run
        whole = run.plan.train._replace(
            pixels=backend.from_numpy(np.asarray(run.plan.train.pixels))
        )
        begun = Run(run.network, filed, settings, backend=backend).position.state
        order = loop.epoch_order(run.plan, Position(begun))
        count = run.plan.steps_per_epoch
        state = backend.run_steps(begun, whole, order, count, run.plan.hyper)
    ends = last.position.state.layers, state.layers
    assert_same_bits(*(map_arrays(backend.to_numpy, layers) for layers in ends))


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("cut", [1, 3, 4, 9, 10, 17])
def test_stopped_anywhere_and_resumed(
    name: str, cut: int, filed: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS | {"backend": name}
    network = Network([25, 9, 3])
    train(network, in_memory(filed), out=tmp_path / "whole", **settings)
    monkeypatch.setattr(loop, "UPDATE_SECONDS", 0.0)  # a chunk is a step
    steps, out = count(1), tmp_path / "cut"
    first = train(
        network, filed, out=out, should_stop=lambda: next(steps) == cut, **settings
    )
    assert first.stopped
    train(network, filed, out=out, resume=True, backend=name)
    assert bits(tmp_path / "whole") == bits(out)


def test_the_window_is_chosen_by_the_memory_there_is_and_kept(
    filed: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS | {"window": "auto", "backend": "numpy"}
    network, out = Network([25, 9, 3]), tmp_path / "run"
    assert windows.automatic(filed.parts, find("numpy")) == 0
    stop: Any = {"should_stop": lambda: True}
    monkeypatch.setattr(memory, "available", lambda: 3000.0)  # 1,625 bytes are read
    assert windows.automatic(in_memory(filed).parts, find("numpy")) == 0
    train(network, filed, out=out, **stop, **settings)
    assert load_settings(out)["window"] == 3000 // 16 // 25
    small = replace(find("numpy"), memory=lambda: 1600.0)  # as a device's may be
    assert windows.automatic(in_memory(filed).parts, small) == 1600 // 16 // 25
    tiny = replace(small, memory=lambda: 300.0)
    assert windows.automatic(in_memory(filed).parts, tiny) == 1
    monkeypatch.undo()
    train(network, filed, out=out, resume=True)
    assert load_settings(out)["window"] == 7
    train(network, filed, out=tmp_path / "again", **settings | {"window": 7})
    assert bits(out) == bits(tmp_path / "again")


def test_a_run_that_began_whole_goes_on_so(
    filed: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SETTINGS | {"window": "auto", "backend": "numpy"}
    network, out = Network([25, 9, 3]), tmp_path / "run"
    train(network, filed, out=out, should_stop=lambda: True, **settings)
    monkeypatch.setattr(memory, "available", lambda: 3000.0)
    train(network, filed, out=out, resume=True, **settings)
    train(network, filed, out=tmp_path / "all", **settings | {"window": "all"})
    assert bits(out) == bits(tmp_path / "all")


def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """72 MB of images are hashed, held out, trained and tested on in half of it."""
    data_folder, n = tmp_path / "set", 16_000
    write_folder(data_folder, n, (4000,), test=2000)
    monkeypatch.setattr(memory, "available", lambda: 2.0**24)
    tracemalloc.start()
    try:
        data = nnx.load(data_folder)
        network = Network([4000, 8, 3])
        result = train(
            network, data, out=tmp_path / "run", validation_fraction=0.1,
            epochs=1, backend="numpy", batch_size=64,
        )  # fmt: skip
        evaluate(result.network, data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert load_settings(tmp_path / "run")["window"] == 2**20 // 4000
    assert peak < 40e6  # of which a block of the digest is half


def test_where_it_diverged_is_found_in_windows(filed: Dataset) -> None:
    with pytest.raises(DivergedError, match=r"first in epoch \d+, step \d+: "):
        train(
            Network([25, 9, 3]), filed, backend="numpy", epochs=30, batch_size=4,
            window=12, learning_rate=1000.0, l2=0.9, debug_nan=True,
        )  # fmt: skip


@pytest.mark.parametrize("name", ["numpy", "numba"])
def test_evaluated_in_windows_as_at_once(
    filed: Dataset, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    backend = find(name)
    network = Network([25, 9, 3])
    once = evaluate(network, filed, backend=backend)
    monkeypatch.setattr(memory, "available", lambda: 700.0)
    assert windows.automatic([filed.test], backend) == 1
    parts = evaluate(network, filed, backend=backend)
    np.testing.assert_array_equal(once.confusion, parts.confusion)
    assert parts.loss == pytest.approx(once.loss, rel=1e-6)


def test_rows_are_an_array_of_those_chosen() -> None:
    values = np.arange(20, dtype=np.float32).reshape(10, 2)
    rows = Rows(np.array([1, 4, 8]), values.__getitem__, 2, values.dtype)
    assert (len(rows), rows.shape, rows.nbytes) == (3, (3, 2), 24)
    np.testing.assert_array_equal(np.asarray(rows), values[[1, 4, 8]])
    np.testing.assert_array_equal(rows[1:], values[[4, 8]])
    np.testing.assert_array_equal(rows[np.array([0, 2])], values[[1, 8]])


def test_the_next_window_is_read_ahead_and_no_former_one_is_kept() -> None:
    numbers, second = count(1), Event()

    def read(rows: Any) -> Any:
        if next(numbers) == 2:
            second.set()
        return np.zeros((len(rows), 1), np.float32)

    made = plan(N, 4, 12, find("numpy"))
    lazy = Rows(np.arange(N), read, 1, np.float32)
    made = made._replace(train=made.train._replace(pixels=lazy))
    coming = windows.trained(made, Position(begun(made)))
    images = next(coming)
    assert second.wait(10)
    pixels = weakref.ref(images.pixels)
    del images
    assert pixels() is None


def test_a_reader_that_fails_is_told() -> None:
    def fails(rows: Any) -> Any:
        raise nnx.errors.InputError("the disk is gone")

    broken = Rows(np.arange(N), fails, 25, np.uint8)
    made = plan(N, 4, 12, find("numpy"))
    made = made._replace(train=made.train._replace(pixels=broken))
    with pytest.raises(nnx.errors.InputError, match="the disk is gone"):
        next(windows.trained(made, Position(begun(made))))


def test_a_window_s_size_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = nnx.load(write_folder(tmp_path / "big", size=(300, 300)))
    settings = complete({"window": 12, "batch_size": 4})
    run = Run(Network([90_000, 3]), data, settings, backend="numpy")
    results.introduce(run, 0.0)
    said = "big: read in windows of 12 images, 1.1 MB each"
    assert said in capsys.readouterr().err.splitlines()
