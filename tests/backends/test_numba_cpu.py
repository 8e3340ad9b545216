"""What the compiled steps promise beyond agreeing with the plain maths."""

import builtins
import os
import platform
import subprocess
import sys
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from bits import assert_same_bits
from own_process import printed

from nnx import Network, find, train
from nnx.data.dataset import Dataset
from nnx.errors import DivergedError, MissingLibraryError, UnusableBackendError
from nnx.maths import losses
from nnx.maths.hyperparameters import Distortion, Hyperparameters, Schedule
from nnx.maths.state import Images, Layer, Layers, State, initial_state
from nnx.verify import parity
from nnx.verify.cases import Case

pytest.importorskip("numba")
from nnx_backends.numba_cpu import loss


def _steps(
    name: str,
    layers: Layers,
    images: Images,
    hyper: Hyperparameters,
    *counts: int,
    threads: int | None = None,
) -> State:
    """Return the state after so many steps of an epoch that shuffles nothing.

    counts: of the steps of one call after another
    """
    backend = find(name, **({"threads": threads} if threads else {}))
    order = np.arange(len(images.labels))
    with backend.scope():
        state = initial_state(layers, hyper, backend.ops)
        for count in counts:
            state = backend.run_steps(state, images, order, count, hyper)
    return state


def _run(*counts: int, threads: int | None = None, **options: Any) -> State:
    """Return the state after the counted steps, or else after seven."""
    rng = np.random.default_rng(0)
    network = Network((25, 70, 9, 3), "tanh", seed=1)
    pixels, labels = rng.integers(0, 256, (200, 25)), rng.integers(0, 3, 200)
    images = Images(pixels.astype(np.uint8), labels)
    if (
        "loss" in options
    ):  # of targets that are 0 or 1, of images that count differently
        targets, weights = np.eye(3)[labels], rng.random(200)
        images = Images(images.pixels, *(a.astype("f4") for a in (targets, weights)))
    hyper = Hyperparameters(network.activation, 1 / 255, 32, l2=1e-3, **options)
    how = network.layers, images, hyper
    return _steps("numba", *how, *(counts or (7,)), threads=threads)


def test_runs_are_bit_identical() -> None:
    assert_same_bits(_run(), _run())


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_one_step_at_a_time_gives_the_same_bits(optimizer: str) -> None:
    """A chunk of one step takes that step's numbers, and not the run's."""
    options: dict[str, Any] = {"schedule": Schedule("cosine"), "ema_decay": 0.9}
    if optimizer == "adam":
        options |= {"optimizer": "adam", "momentum": 0.9, "beta2": 0.999}
    assert_same_bits(_run(**options), _run(*[1] * 7, **options))


# What is summed over images or units, which are shared out among threads.
SUMMED: tuple[dict[str, Any], ...] = (
    {},
    {"batch_norm": True, "optimizer": "adam", "beta2": 0.99, "dropout": 0.2},
    {"clip_norm": 0.01, "label_smoothing": 0.1, "class_weights": (0.5, 1.0, 2.0)},
    {"loss": "binary_cross_entropy"},
    {"loss": "squared_error"},
    {"loss": "huber", "huber_delta": 0.1},
    {"max_norm": 0.5, "ema_decay": 0.9, "l1": 1e-3, "input_noise": 0.1},
)


@pytest.mark.parametrize("options", SUMMED, ids=lambda o: "-".join(map(str, o)))
def test_a_team_of_any_size_gives_the_same_bits(options: dict[str, Any]) -> None:
    alone = _run(threads=1, **options)
    for threads in 2, 3, 4, 5:
        assert_same_bits(_run(threads=threads, **options), alone)


def test_the_targets_of_a_loss_do_not_depend_on_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A kernel that took class numbers for other numbers would write anywhere."""
    for table in losses.LOSSES, loss.KERNELS:
        monkeypatch.setitem(table, "another", table["cross_entropy"])
    options = {"class_weights": (0.5, 1.0, 2.0)}
    case = Case((8, 5, 3), "relu", 6, tuple(options.items()), weighted=True)
    same = case._replace(options=(*case.options, ("loss", "another")))
    assert same.labels(4, np.random.default_rng(0))[0].shape == (4,)
    assert parity.worst_error(parity.problem(same, "float64"), find("numba")) < 1e-12


def test_two_python_threads_train_at_once() -> None:
    results: list[State] = []
    threads = [Thread(target=lambda: results.append(_run(threads=2))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = _run(threads=2)
    assert len(results) == 4
    for state in results:
        assert_same_bits(state, expected)


def test_a_loss_that_is_no_number_is_seen(data: Dataset) -> None:
    wild = Network([25, 40, 3], "relu", init="normal:1e15")
    with pytest.raises(DivergedError):
        train(wild, data, backend="numba", epochs=1, learning_rate=1000)


def test_pixels_keep_float64_s_digits() -> None:
    """A network in float64 sees a large integer whole."""
    images = Images(np.full((4, 1), 2**24 + 1), np.zeros(4, np.int64))
    hyper = Hyperparameters(("identity",), 1.0, 4, learning_rate=2.0**-24)
    layers = [Layer(np.zeros((1, 2)), np.zeros(2))]
    numba, numpy = (
        _steps(name, layers, images, hyper, 1) for name in ("numba", "numpy")
    )
    np.testing.assert_array_equal(numba.layers[0].weight, numpy.layers[0].weight)


def test_distorted_images_do_not_depend_on_where_an_epoch_is_cut() -> None:
    distorted = {"augment": Distortion(shift=1, elastic=9.0), "image_shape": (5, 5)}
    whole, plain = _run(**distorted), _run()
    assert (whole.layers[0].weight != plain.layers[0].weight).any()
    assert_same_bits(_run(0, 3, 1, 3, **distorted), whole)


def test_steps_on_layers_of_mixed_dtypes() -> None:
    """All are taken in the first one's dtype."""
    first, *others = Network([9, 40, 50, 3], seed=0).layers
    mixed = [first, *(Layer(*(a.astype(float) for a in la)) for la in others)]
    images = Images(np.ones((20, 9), np.uint8), np.zeros(20, np.int64))
    hyper = Hyperparameters(("relu", "relu", "identity"), 0.1, 10)
    one, other = (
        _steps("numba", layers, images, hyper, 2)
        for layers in (mixed, [first, *others])
    )
    assert one.layers[1].weight.dtype == np.float32
    assert_same_bits(one, other)


def test_losses_whose_sum_overflows_give_no_warning() -> None:
    """The loop says that training diverged, in one line."""
    images = Images(np.ones((28, 1), np.uint8), np.ones(28, np.int64))
    hyper = Hyperparameters(("identity",), 1.0, 4, learning_rate=1e-3)
    weight, bias = np.array([[1e37, -1e37]], np.float32), np.zeros(2, np.float32)
    after = _steps("numba", [Layer(weight, bias)], images, hyper, 7)
    assert after.loss_sum == np.inf


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores have no names")
def test_a_system_that_lets_nobody_choose_a_core(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert _run(threads=2).score_sum == _run(threads=1).score_sum


def test_without_numba(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("nnx_backends.numba_cpu.run")
    monkeypatch.setitem(sys.modules, "nnx_backends.numba_cpu.run", None)
    with pytest.raises(MissingLibraryError, match="use --backend numpy"):
        find("numba")
    assert find("auto").name == "numpy"


def test_a_library_that_memory_has_no_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """llvmlite says of it that it cannot be found; "auto" does without."""

    def no_room(name: str, *rest: Any) -> Any:
        if name != "numba":
            return plain(name, *rest)
        try:
            raise OSError("libllvmlite.so: failed to map segment from shared object")
        except OSError as error:
            raise OSError("Could not find/load 'libllvmlite.so'") from error

    plain = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", no_room)
    with pytest.raises(UnusableBackendError, match="cannot be loaded: out of memory"):
        find("numba")
    assert find("auto").name == "numpy"


def test_numba_that_may_not_compile() -> None:
    code = "import nnx; print(nnx.find('auto').name)"
    assert printed(code, NUMBA_DISABLE_JIT="1") == "numpy\n"


def test_auto_is_numba_where_it_works() -> None:
    assert find("auto").name == "numba"


OTHER_VECTORS = """
import sys
import numpy as np
from nnx_backends.numba_cpu import vectors
assert vectors.VECTOR == int(sys.argv[1])

from nnx import Network, find
from nnx.maths import arrays, evaluation
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, initial_state
from nnx_backends.numba_cpu import run

def near(got, expected):
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert got.dtype == np.float32 and error <= 1e-5, error

run.WORTH_A_THREAD = run.STEPS_WORTH_A_THREAD = 1
backend, plain = find("numba", threads=2), find("numpy")
sizes, rng = (45, 70, 36, 12, 3), np.random.default_rng(0)
network = Network(sizes, "tanh", seed=0, dtype="float32")
pixels, labels = rng.integers(0, 256, (58, 45), np.uint8), rng.integers(0, 3, 58)
images, order = Images(pixels, labels), np.arange(58)
hyper = Hyperparameters(network.activation, 1 / 255, 23, learning_rate=1.0)
wide = arrays.map_arrays(lambda a: a.astype(float), list(network.layers))
for count in 1, 3:
    got, expected = (
        b.run_steps(initial_state(layers, hyper, b.ops), images, order, count, hyper)
        for b, layers in ((backend, network.layers), (plain, wide))
    )
    for a, b in zip(got.layers, expected.layers, strict=True):
        near(a.weight, b.weight)
        near(a.bias, b.bias)
    near(got.loss_sum, expected.loss_sum)
for n in (1, 5, 23, 58):
    known = network.layers, pixels[:n], network.activation, 1 / 255
    near(*(evaluation.logits(*known, b.ops) for b in (backend, plain)))
"""


@pytest.mark.parametrize(
    ("machine", "listed", "widest"),
    [
        ("arm64", set(), (16, 4)),  # as LLVM lists them on macOS
        ("aarch64", {"neon"}, (16, 4)),
        ("x86_64", {"sse2"}, (16, 2)),
        ("AMD64", {"avx2"}, (32, 3)),
        ("x86_64", {"avx2", "avx512f"}, (64, 4)),
    ],
)
def test_registers_of_processors(
    machine: str,
    listed: set[str],
    widest: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from nnx_backends.numba_cpu import vectors

    monkeypatch.setattr(vectors, "HAS", listed)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    size, rows = vectors._registers()
    assert (size, max(rows)) == widest


@pytest.mark.sweep
@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="compiles for x86 processors"
)
def test_processors_with_other_vectors(tmp_path: Path) -> None:
    """As Numba's variables name them: of 16 bytes, and of 32 as most laptops have."""
    ran = [
        subprocess.Popen(
            [sys.executable, "-c", OTHER_VECTORS, size],
            env=os.environ
            | {
                "NUMBA_CACHE_DIR": str(tmp_path / size),
                "NUMBA_CPU_NAME": "x86-64",
                "NUMBA_CPU_FEATURES": features,
            },
            stderr=subprocess.PIPE,
            text=True,
        )
        for size, features in {"16": "+fma", "32": "+fma,+avx2"}.items()
    ]  # at once, as each compiles for half a minute
    for process in ran:
        assert (process.communicate()[1], process.returncode) == ("", 0)
