"""A test of each kernel that takes many steps, on the card it runs on.

The emulated device (`tests/cuda_on_cpu`) executes threads in any order, but it is not a
card: its tensor cores and its memory follow NVIDIA's documents as we read them. So
before a kernel is first used, some of its steps are compared with those of the plain
maths on the host. After one failure, also to compile or launch a kernel, the process
takes plain steps for all networks.
"""

import warnings
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from nnx.errors import first_line
from nnx.maths import steps
from nnx.maths.arrays import Array, map_arrays, moved, named_arrays
from nnx.maths.blocks import block_count
from nnx.maths.hyperparameters import CONSTANT, Hyperparameters
from nnx.maths.ops import Ops
from nnx.maths.state import Images, Parameters, State
from nnx_backends.cupy_gpu.errors import is_of_one_kernel

PLAIN = Ops(np)
# Steps in one launch: the second reads the weights that the first has written.
STEPS = 2
# Adam and RMSprop divide by this beside the root of the mean square. With their usual
# epsilon a step is about the sign of the gradient, which rounding decides where the
# gradient is nearly 0; with 1 the step is about proportional to the gradient.
EPSILON = 1.0
# Bounds on the relative error of the parameters' change, by the precision of products.
# Rounding stays below a third of them (tests/backends/test_self_test.py).
BOUNDS = {"full": 0.01, "tf32": 0.2, "bf16": 0.5}


class SelfTest:
    """Which kernels have been tested on a card, and whether all of them were right.

    failure: what was wrong with the first kernel that failed, or ""
    """

    def __init__(self, cupy: Any, precision: str) -> None:
        self._cupy, self._precision = cupy, precision
        self._tested = set[Any]()
        self.failure = ""

    def passed(
        self,
        kernel: Any,
        run_steps: Callable[..., State],
        state: State,
        images: Images,
        n: int,
        hyper: Hyperparameters,
    ) -> bool:
        """Return whether a kernel may be used; test it first if it is new.

        Tested are an epoch's first steps and, in full precision, its last one, whose
        batch may be short. (With batch normalization of two images, gradients cancel
        except for rounding.)

        kernel: identifies it
        run_steps: launches it, called like `nnx.maths.steps.run_steps` without ops
        n: images in an epoch
        """
        if kernel not in self._tested and not self.failure:
            self._tested.add(kernel)
            last = block_count(n, hyper.batch_size) - 1
            begun = {0, last} if self._precision == "full" else {0}
            self._judge(
                self._error(run_steps, state._replace(step=step), images, n, hyper)
                for step in begun
            )
        return not self.failure

    def _judge(self, errors: Iterable[float]) -> None:
        """Warn of a kernel that is refused or wrong, and record the failure.

        errors: of its launches, relative; each launch is made as its error is read
        """
        try:
            off = max(errors)
        except Exception as error:
            if not is_of_one_kernel(error):
                raise
            self.failure = f"a kernel that CUDA refused: {first_line(error)[:100]}"
        else:
            if off <= BOUNDS[self._precision]:
                return
            wrong = f"a kernel that its self-test found wrong by {off:.2g}"
            self.failure = f"{wrong}, relative to NumPy's steps"
        warnings.warn(
            "cupy: each operation is a launch of its own, because of "
            f"{self.failure}; please report it",
            stacklevel=4,
        )

    def _error(
        self,
        run_steps: Callable[..., State],
        state: State,
        images: Images,
        n: int,
        hyper: Hyperparameters,
    ) -> float:
        """Return the relative error of one launch, from the state's step on."""
        xp, calm = self._cupy, hyper._replace(epsilon=EPSILON, schedule=CONSTANT)
        images = images._replace(pixels=images.pixels[: STEPS * hyper.batch_size])
        first = images.first or 0
        order = first + xp.arange(n) % len(images.pixels)
        count = min(STEPS, block_count(n, hyper.batch_size) - state.step)
        got = run_steps(state, images, order, count, calm)
        state, images, order = moved((state, images, order), xp.asnumpy)
        with np.errstate(all="ignore"):
            expected = steps.run_steps(state, images, order, count, calm, PLAIN)
            layers = map_arrays(xp.asnumpy, got.layers)
            return _change_error(state.layers, layers, expected.layers, count)


def _change_error(
    before: Parameters, got: Parameters, expected: Parameters, count: int
) -> float:
    """Return the relative error of the parameters' change, in the Euclidean norm.

    Rounding, of one unit in the last place per step, is not counted. 0 if the expected
    parameters are not finite: there is nothing to compare with.
    """
    start, mine, other = map(_flat, (before, got, expected))
    if not np.all(np.isfinite(other)):
        return 0.0
    rounding = count * np.finfo(np.float32).eps * np.linalg.norm(start)
    wrong = np.linalg.norm(mine - other) - rounding
    if not wrong > 0.0:
        return 0.0 if np.all(np.isfinite(mine)) else np.inf
    return float(wrong / (np.linalg.norm(other - start) + rounding))


def _flat(layers: Parameters) -> Array:
    arrays = [array.ravel() for _, array in named_arrays(layers, "")]
    return np.concatenate(arrays).astype(np.float64)
