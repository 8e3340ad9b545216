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
    """Return seconds per epoch of nnx and of plain NumPy, and how far they differ.

    The difference is the largest, of any parameter after all rounds, over that
    parameter's largest entry.
    """
    backend = nnx.find("numpy")
    network = nnx.Network(workload.sizes, workload.activation, init="glorot")
    recipe = Recipe(
        network.model.activations, 1 / 255, workload.batch_size, LEARNING_RATE, 0.0
    )
    n, steps = len(labels), -(-len(labels) // workload.batch_size)
    data = Images(images, labels)
    state = State(network.layers, np.float32(0), np.int64(0))
    theirs = [(weight.copy(), bias.copy()) for weight, bias in network.layers]
    floats = images.astype(np.float32) / 255
    ours, plain = [], []
    for epoch in range(rounds + 1):
        began = time.perf_counter()
        order = random.permutation(n, seed=0, epoch=epoch, xp=np)
        state = backend.run_steps(state, data, order, 0, steps, recipe, backend)
        ours.append(time.perf_counter() - began)

        rng = np.random.default_rng(epoch)
        began = time.perf_counter()
        rng.permutation(n)  # its own shuffle is timed; both train on the same batches
        plain_numpy.train_epoch(
            theirs, floats, labels, order, activation=workload.activation,
            batch_size=recipe.batch_size, learning_rate=LEARNING_RATE,
        )  # fmt: skip
        plain.append(time.perf_counter() - began)
    error = max(
        np.abs(a - b).max() / np.abs(b).max()
        for layer, other in zip(state.layers, theirs, strict=True)
        for a, b in zip(layer, other, strict=True)
    )
    return ours[1:], plain[1:], float(error)


def _images(data_dir: str | None) -> tuple[np.ndarray, np.ndarray]:
    if data_dir:
        return nnx.load("mnist", data_dir).train
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60_000, 784)).astype(np.uint8)
    return pixels, rng.integers(0, 10, 60_000)


if __name__ == "__main__":
    main()
