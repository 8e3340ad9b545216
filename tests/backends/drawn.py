"""Networks, images, kernels' arguments and memory layouts, for hypothesis to draw."""

import math
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

from nnx.data.dataset import Array
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.blocks import block_count
from nnx.maths.hyperparameters import CONSTANT, Hyperparameters, Schedule
from nnx.maths.optimizers import OPTIMIZERS
from nnx.maths.state import Images, Layer, Layers
from nnx.verify.compare import BOUNDS

widths = st.one_of(st.integers(1, 40), st.integers(1, 1100))
# Of these, the first two without --sweep: Numba compiles its steps for each dtype.
PIXELS = ["bytes", "few greys", "single", "double", "floats"]
layouts = st.sampled_from(["C", "F", "strided", "reversed"])


class Problem(NamedTuple):
    """Steps from these layers; all on the host.

    first: the first step's place in its epoch; count: how many steps, all of it
    epoch: how many the run took before
    """

    layers: Layers
    images: Images
    order: Array
    first: int
    count: int
    hyper: Hyperparameters
    epoch: int = 0

    @property
    def step(self) -> int:
        """How many steps the run took before the first one."""
        batches = block_count(self.order.shape[0], self.hyper.batch_size)
        return self.epoch * batches + self.first

    def __repr__(self) -> str:
        """What a failure prints; the arrays themselves are long."""
        arrays = *self.images[:2], self.order
        shapes = [f"{array.dtype}{array.shape}" for array in arrays]
        sizes = [len(layer.weight) for layer in self.layers]
        return (
            f"{sizes} {self.layers[0].weight.dtype}, pixels, labels, order {shapes}, "
            f"{self.count} steps from {self.first} of epoch {self.epoch}, {self.hyper}"
        )


class Layout(NamedTuple):
    """How arrays lie in memory."""

    matrices: str
    vectors: str
    read_only: bool


memory = st.builds(Layout, layouts, layouts, st.booleans())


def laid(array: Array, layout: Layout) -> Array:
    """Return a copy, differently in memory."""
    kind = layout.matrices if array.ndim == 2 else layout.vectors
    array = array.copy()
    if kind == "F":
        array = np.asfortranarray(array)
    elif kind == "strided":
        wide = np.zeros([2 * n + 1 for n in array.shape], array.dtype)
        every_other = (slice(1, None, 2),) * array.ndim
        wide[every_other] = array
        array = wide[every_other]
    elif kind == "reversed":
        back = (slice(None, None, -1),) * array.ndim
        array = array[back].copy()[back]
    array.setflags(write=not layout.read_only)
    return array


def signed(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> Array:
    """Return numbers of either sign, none of which is much smaller than `size`."""
    return rng.choice([-size, size], shape) * rng.uniform(0.5, 1.5, shape)


def batch_sizes(limit: float) -> st.SearchStrategy[int]:
    return st.integers(1, max(1, min(300, int(limit))))


@st.composite
def problems(draw: Any, work_limit: float) -> Problem:
    """Draw a network, images and one to three steps.

    work_limit: multiplications in a batch's matrix products, forward
    """
    depth = draw(st.integers(1, 4))
    sizes = [draw(widths) for _ in range(depth)] + [draw(st.integers(2, 12))]
    work = sum(m * n for m, n in pairwise(sizes))
    batch = draw(batch_sizes(work_limit / work))
    batches = draw(st.integers(1, 4))
    images = (batches - 1) * batch + draw(st.integers(1, batch))
    first = draw(st.integers(0, batches - 1))
    count = draw(st.integers(1, min(3, batches - first)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(list(BOUNDS)))
    layers = [
        Layer(
            signed(rng, (m, n), 1 / math.sqrt(m)).astype(dtype),
            signed(rng, (n,), 0.3).astype(dtype),
        )
        for m, n in pairwise(sizes)
    ]
    pool = draw(st.sampled_from([images, images + 7, -(-images // 2)]))
    order = rng.permutation(pool)[:images]
    if pool < images:
        order = rng.integers(0, pool, images)
    pixels, scale = draw_pixels(draw, rng, (pool, sizes[0]))
    activations = tuple(draw(st.sampled_from(list(ACTIVATIONS))) for _ in layers[1:])
    # A step so long that it does not throw the next one's rounding about.
    length = 1 + np.mean(np.sum((pixels * scale) ** 2, axis=1)) + max(sizes[1:])
    length = float(draw(st.sampled_from([0.1, 1.0])) / length)
    plain = Hyperparameters((*activations, "identity"), scale, batch)
    hyper = draw(hyperparameters(plain, rng, sizes[-1]))
    if hyper.optimizer in ("adam", "rmsprop"):
        length = 1e-3  # whatever the gradient's size
    images_ = Images(pixels, rng.integers(0, sizes[-1], pool))
    epoch = draw(st.sampled_from([0, 1, 2**31]))
    hyper = draw(scheduled(hyper._replace(epochs=epoch + 1), length))
    return Problem(layers, images_, order, first, count, hyper, epoch)


@st.composite
def hyperparameters(
    draw: Any, plain: Hyperparameters, rng: np.random.Generator, classes: int
) -> Hyperparameters:
    """Draw what a step does beyond the plain one; often nothing, or but one thing."""
    weights = tuple(map(float, rng.uniform(0.5, 2.0, classes)))
    options: dict[str, list[Any]] = {
        "optimizer": list(OPTIMIZERS),
        "l1": [0.05],
        "l2": [0.1],
        "weight_decay": [0.5],
        "clip_norm": [0.01, 1e3],
        "max_norm": [0.5, 3.0],
        "input_dropout": [0.2],
        "dropout": [0.5, 0.1],
        "label_smoothing": [0.1],
        "class_weights": [weights],
    }
    names = draw(st.lists(st.sampled_from(list(options)), unique=True))
    chosen = {name: draw(st.sampled_from(options[name])) for name in names}
    seed = draw(st.sampled_from([0, 2**64 - 1]))
    return plain._replace(beta2=0.9, seed=seed, **chosen)


@st.composite
def scheduled(draw: Any, hyper: Hyperparameters, length: float) -> Hyperparameters:
    """Draw how a step's numbers change; no two steps' are alike, or all are.

    length: the learning rate, at most
    """
    half = 0.5 * length
    rates, momenta = draw(
        st.sampled_from(
            [
                (CONSTANT, CONSTANT),
                (Schedule("linear", to=half), Schedule("linear", to=0.5)),
                (Schedule("one-cycle", to=half), Schedule("dip", to=0.6)),
                (Schedule("cosine", warmup=0.5, to=half), Schedule(warmup=0.5)),
            ]
        )
    )
    return hyper._replace(
        learning_rate=length,
        momentum=0.9,
        schedule=rates,
        momentum_schedule=momenta,
        ema_decay=draw(st.sampled_from([0.0, 0.8])),
    )


def draw_pixels(
    draw: Any, rng: np.random.Generator, shape: tuple[int, int]
) -> tuple[Array, float]:
    """Return pixels and what scales them; scaled, they are of order 1."""
    kind = draw(st.sampled_from(PIXELS))
    if kind in ("single", "double"):
        return rng.random(shape).astype(kind), 1.0
    greys = 5 if kind == "few greys" else 256
    pixels = rng.integers(0, greys, shape, np.uint8)
    if kind == "floats":
        return pixels.astype(np.float32), 1 / 255
    return pixels, 1.0 if kind == "few greys" else 1 / 255


class Kernel(NamedTuple):
    """A layer and a batch; every number is of order 1 or less.

    x: (batch, in_features)
    logits, labels: (batch, classes), (batch,)
    """

    x: Array
    weight: Array
    bias: Array
    logits: Array
    labels: Array


@st.composite
def kernel_arguments(draw: Any, work_limit: float) -> Kernel:
    """Draw what kernels are called with; work as for problems."""
    m, n, classes = draw(widths), draw(widths), draw(st.integers(2, 12))
    batch = draw(batch_sizes(work_limit / (m * n)))
    dtype = draw(st.sampled_from(list(BOUNDS)))
    spread = draw(st.sampled_from([0.0, 1.0, 100.0, 1e4]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x, weight, bias = (
        rng.uniform(-size, size, shape).astype(dtype)
        for size, shape in [(1, (batch, m)), (1 / math.sqrt(m), (m, n)), (1, n)]
    )
    logits = rng.normal(0, spread, (batch, classes)).astype(dtype)
    labels = rng.integers(0, classes, batch)
    return Kernel(x, weight, bias, logits, labels)
