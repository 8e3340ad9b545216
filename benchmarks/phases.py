"""What each phase of a step takes on a card: milliseconds an epoch, cycles a phase.

    python benchmarks/phases.py [--images N] [--out FILE.json]

The kernel is compiled with PROFILE, which has the first block note when it comes to
each grid barrier and when it goes on. A step's phases are the outputs of each hidden
layer, the head, and the slopes of each layer but the first beside the update of the one
after it; the last is the update of the first two. A head whose weights do not fit into
shared memory has three phases: its outputs, the loss, and the slopes before it.
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
EPOCHS, BARRIERS = 5, 4096  # barriers that are noted, see device.cu


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
        """Return what the last launch took, by the card's clock."""
        return float(cupy.cuda.get_elapsed_time(self.begun, self.ended))

    def barriers(self) -> Any:
        """Return when the first block came to each and went on, (barriers, 2)."""
        pointer = self.module.get_global("profile")
        times = cupy.ndarray((2 * BARRIERS,), np.int64, pointer)
        return cupy.asnumpy(times).reshape(BARRIERS, 2)


def phases(workload: Workload, times: Any, count: int) -> dict[str, list[int]]:
    """Return the cycles at work and at the barrier of a step's phases, medians.

    times: of the barriers of so many steps
    """
    hidden, normalized = len(workload.sizes) - 2, workload.options.get("batch_norm")
    barriers = 2 * hidden + 1 + 2 * hidden * bool(normalized)  # a step's
    barriers += 2 * _head_by_tiles(workload)
    # Where images are made ready, a barrier comes before the first step.
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
    """Return what an epoch of so many random images takes."""
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
    cupy.RawKernel = Kernel
    steps.MOST_OPERATIONS = 2**62  # an epoch is one launch, also beside a display
    results = dict[str, Any]()
    for name, workload in NETWORKS.items():
        row = results[name] = measured(workload, given.images)
        ms = median(row["ms_per_epoch"])
        print(f"{name:24} {ms:8.2f} ms", row["work"], row["wait"], flush=True)
        if given.out:  # anew each time, as a limit may end this before the last network
            given.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
