"""nnx on NumPy against a page of plain NumPy: speed and agreement, in one run.

    python -m benchmarks.compare --data-dir DIR [--workload classic --workload wide]

Both train the same epochs from the same weights on the same batches, in turn
(A B A B …); the first round of each is a warm-up. Images are MNIST's where the
folder is given, and random bytes of the same shape elsewhere.
"""

import argparse
import statistics
import time

import numpy as np

import nnx
from benchmarks.rivals import plain_numpy
from benchmarks.workloads import LEARNING_RATE, WORKLOADS, Workload
from nnx.maths import random
from nnx.maths.network import Layers
from nnx.maths.steps import Images, Recipe, State


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="the folder of MNIST's four files")
    parser.add_argument("--workload", action="append", choices=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=7, help="counted runs of each")
    options = parser.parse_args()
    images, labels = _images(options.data_dir)
    for library in nnx.info()["blas"]:
        print(f"BLAS {library['version']}, {library['kernels']} kernels, "
              f"{library['threads']} threads")  # fmt: skip
    print(f"{'workload':10}{'nnx ms':>9}{'plain ms':>10}{'speed':>8}"
          f"{'min':>7}{'max':>7}{'disagreement':>14}")  # fmt: skip
    for key in options.workload or WORKLOADS:
        ours, plain, error = measure(WORKLOADS[key], images, labels, options.rounds)
        ratios = [p / o for o, p in zip(ours, plain, strict=True)]
        print(
            f"{key:10}{1e3 * statistics.median(ours):9.1f}"
            f"{1e3 * statistics.median(plain):10.1f}{statistics.median(ratios):8.3f}"
            f"{min(ratios):7.3f}{max(ratios):7.3f}{error:14.1e}"
        )


def measure(
    workload: Workload, images: np.ndarray, labels: np.ndarray, rounds: int
) -> tuple[list[float], list[float], float]:
    """Return seconds per epoch of nnx and of plain NumPy, and how far they differ."""
    ours = _Ours(workload, images, labels)
    plain = _Plain(workload, images, labels)
    error = _difference(ours, plain)
    seconds: list[tuple[float, float]] = []
    for epoch in range(1, rounds + 2):
        seconds.append((ours.epoch(epoch), plain.epoch(epoch)))
    return [s[0] for s in seconds[1:]], [s[1] for s in seconds[1:]], error


def _difference(ours: "_Ours", plain: "_Plain") -> float:
    """Return the largest difference of any parameter after 100 steps.

    It is relative to the parameter's largest entry. Later, rounding alone drives
    two networks apart at the kinks of relu.
    """
    ours.epoch(0, images=100 * ours.recipe.batch_size)
    plain.epoch(0, images=100 * ours.recipe.batch_size)
    return max(
        float(np.abs(a - b).max() / np.abs(b).max())
        for layer, other in zip(ours.state.layers, plain.layers, strict=True)
        for a, b in zip(layer, other, strict=True)
    )


class _Ours:
    """The NumPy backend's own loop."""

    def __init__(self, workload: Workload, images: np.ndarray, labels: np.ndarray):
        self.backend = nnx.find("numpy")
        self.images = Images(images, labels)
        self.recipe, layers = _start(workload)
        self.state = State(layers, np.float32(0), np.int64(0))

    def epoch(self, epoch: int, images: int | None = None) -> float:
        """Train on an epoch's first images, all if None; return the seconds."""
        began = time.perf_counter()
        order = _order(len(self.images.labels), epoch)[:images]
        last = -(-len(order) // self.recipe.batch_size)
        self.state = self.backend.run_steps(
            self.state, self.images, order, 0, last, self.recipe, self.backend
        )
        return time.perf_counter() - began


class _Plain:
    """The page of plain NumPy; the same shuffle is part of its time."""

    def __init__(self, workload: Workload, images: np.ndarray, labels: np.ndarray):
        self.images = images.astype(np.float32) / np.float32(255)
        self.labels = labels
        self.activation = workload.activation
        self.recipe, layers = _start(workload)
        self.layers = [(weight.copy(), bias.copy()) for weight, bias in layers]

    def epoch(self, epoch: int, images: int | None = None) -> float:
        """Train on an epoch's first images, all if None; return the seconds."""
        began = time.perf_counter()
        plain_numpy.train_epoch(
            self.layers,
            self.images,
            self.labels,
            _order(len(self.labels), epoch)[:images],
            activation=self.activation,
            batch_size=self.recipe.batch_size,
            learning_rate=LEARNING_RATE,
        )
        return time.perf_counter() - began


def _start(workload: Workload) -> tuple[Recipe, Layers]:
    network = nnx.Network(workload.sizes, workload.activation)
    activations, size = network.model.activations, workload.batch_size
    return Recipe(activations, 1 / 255, size, LEARNING_RATE, 0.0), network.layers


def _order(n: int, epoch: int) -> np.ndarray:
    return random.permutation(n, seed=0, epoch=epoch, xp=np)


def _images(data_dir: str | None) -> tuple[np.ndarray, np.ndarray]:
    if data_dir:
        return nnx.load("mnist", data_dir).train
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60_000, 784)).astype(np.uint8)
    return pixels, rng.integers(0, 10, 60_000)


if __name__ == "__main__":
    main()
