"""What each phase of a step takes on a card: milliseconds an epoch, cycles a phase.

    python benchmarks/phases.py [--images N] [--out FILE.json]

The kernel is compiled with PROFILE: the first block records when it arrives at each
grid barrier, and when it leaves it. A step's phases are the outputs of each hidden
layer; the head, with the slope of the last hidden layer; from layer to layer, the slope
of the hidden layer before, beside the update of the layer after; and the update of the
first two layers. A head computed by tiles, see `plan.Plan`, has three phases: its
outputs, the loss, and the slope of the layer before. Batch normalization has a phase
for each hidden layer, forward and backward.
"""

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import cupy
import numpy as np
from nnx_backends.cupy_gpu import steps
from nnx_backends.cupy_gpu.plan import plans

import nnx
from nnx.maths.hyperparameters import Distortion
from nnx_benchmarks.nnx_run import NnxTrainer
from nnx_benchmarks.workloads import ADAM, BATCH_NORM, MOMENTUM, Problem, Workload

LARGE = (784, 2500, 2000, 1500, 1000, 500, 10)  # as the preset ciresan has it
DISTORTED = {
    "augment": Distortion(rotation=15, scale=0.15, shear=0.1, elastic=37, sigma=5.5),
    "image_shape": (28, 28),
}
NETWORKS = {
    **{
        f"{'-'.join(map(str, sizes))}, {batch}": Workload(sizes, "relu", batch)
        for sizes in ((784, 128, 10), (784, 1000, 10), (784, 800, 800, 10))
        for batch in (128, 1024)
    },
    "784-128-10, 8192": Workload((784, 128, 10), "relu", 8192),
    "784-128-47, 128": Workload((784, 128, 47), "relu", 128),
    "batch norm, Adam": Workload(
        (784, 512, 512, 10), "relu", 128, 0.001, ADAM | BATCH_NORM
    ),
    "distorted": Workload((784, 128, 10), "relu", 128, 0.1, DISTORTED),
    "large, 1024": Workload(LARGE, "relu", 1024, 0.01),
    "large, ciresan": Workload(LARGE, "tanh", 100, 0.01, MOMENTUM | DISTORTED),
}
EPOCHS, BARRIERS = 5, 4096  # barriers that are recorded, see device.cu


class Kernel:
    """A RawKernel whose times can be read."""

    last: "Kernel"

    def __init__(self, code: str, name: str, **options: Any) -> None:
        code = "#define PROFILE\n" + code
        self.module = cupy.RawModule(code=code, **options)
        self.function = self.module.get_function(name)
        self.begun, self.ended = cupy.cuda.Event(), cupy.cuda.Event()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "max_dynamic_shared_size_bytes":
            self.function.max_dynamic_shared_size_bytes = value
        else:
            object.__setattr__(self, name, value)

    def __call__(self, *arguments: Any, **options: Any) -> None:
        """Launch it, as a RawKernel is launched."""
        Kernel.last = self
        self.begun.record()
        self.function(*arguments, **options)
        self.ended.record()

    def milliseconds(self) -> float:
        """Return the time of the last launch, by the card's clock."""
        return float(cupy.cuda.get_elapsed_time(self.begun, self.ended))

    def barriers(self) -> Any:
        """Return the cycles at which the first block came and left, (barriers, 2)."""
        pointer = self.module.get_global("profile")
        times = cupy.ndarray((2 * BARRIERS,), np.int64, pointer)
        return cupy.asnumpy(times).reshape(BARRIERS, 2)


def phases(workload: Workload, times: Any, count: int) -> dict[str, list[int]]:
    """Return the median cycles of a step's phases, at work and at the barrier.

    times: (barriers, 2), of `count` steps
    """
    hidden, normalized = len(workload.sizes) - 2, workload.options.get("batch_norm")
    barriers = 2 * hidden + 1 + 2 * hidden * bool(normalized)  # a step's
    barriers += 2 * _head_by_tiles(workload)
    # Distortion prepares images before the first step too, with a barrier after it.
    times = times["augment" in workload.options :]
    times = times[: barriers * min(count, len(times) // barriers)]
    wait, work = times[:, 1] - times[:, 0], times[1:, 0] - times[:-1, 1]
    return {
        # The first phase comes after the last barrier of the step before.
        "work": [
            int(np.median(work[(i - 1) % barriers :: barriers]))
            for i in range(barriers)
        ],
        "wait": [int(np.median(wait[i::barriers])) for i in range(barriers)],
    }


def _head_by_tiles(workload: Workload) -> bool:
    layers = nnx.Network(workload.sizes).layers
    room = steps.shared_memory(cupy.cuda.Device())
    return plans(layers, workload.batch_size, room)[0].head_by_tiles


def measured(workload: Workload, images: int) -> dict[str, Any]:
    """Return the times of epochs of so many random images, and cycles by phase."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (images, 784), np.uint8)
    problem = Problem(workload, pixels, None, draw.integers(0, 10, images))
    trainer = NnxTrainer(problem, nnx.find("cupy"))
    trainer.load(nnx.Network(workload.sizes, workload.activation, seed=0).layers)
    epochs = list[float]()
    for _ in range(EPOCHS + 1):
        trainer.epoch(draw.permutation(images), workload.learning_rate)
        epochs.append(Kernel.last.milliseconds())
    count = -(-images // workload.batch_size)
    cycles = phases(workload, Kernel.last.barriers(), count)
    return {"ms_per_epoch": sorted(epochs[1:]), **cycles}


def main() -> None:
    """Measure all networks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=60000)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    largest_batch = max(workload.batch_size for workload in NETWORKS.values())
    if given.images <= largest_batch:
        parser.error(f"--images must be over {largest_batch}, for two steps per epoch")
    cupy.RawKernel = Kernel
    steps.MOST_OPERATIONS = 2**62  # an epoch is one launch, also beside a display
    results = dict[str, Any]()
    for name, workload in NETWORKS.items():
        row = results[name] = measured(workload, given.images)
        ms = median(row["ms_per_epoch"])
        print(f"{name:24} {ms:8.2f} ms", row["work"], row["wait"], flush=True)
        if given.out:  # after each network, as a limit may end this before the last one
            given.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
