"""A step's program: a sequence of kernels, and the barriers between them."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from nnx.maths.hyperparameters import Hyperparameters
from nnx_backends.numba_cpu import (
    activations,
    batch_norm,
    distort,
    dropout,
    gather,
    loss,
    max_norm,
    narrow,
    nonzero,
    optimizers,
    rounded,
    wide,
    wide_update,
)
from nnx_backends.numba_cpu.kernel import Kernel
from nnx_backends.numba_cpu.layout import Place
from nnx_backends.numba_cpu.vectors import lanes


class Shape(NamedTuple):
    """The properties of a layer that select its kernels.

    width: of its panels in vectors; 0 if it is narrow
    activation: its name; normalized: whether it has batch normalization
    rounds: whether factors of its products are rounded to bfloat16
    """

    width: int
    activation: str
    normalized: bool
    rounds: bool


def shapes_of(
    places: list[Place], activations: Sequence[str], real: Any, *, rounds: bool
) -> list[Shape]:
    """Return each layer's shape; only wide layers may round factors."""
    shapes = []
    for place, name in zip(places, activations, strict=True):
        width = place.columns // lanes(real)
        shapes.append(Shape(width, name, place.gamma_at >= 0, rounds and width > 0))
    return shapes


LARGE = 256  # images in a batch; measured, see docs/performance.md
# A kernel and its layer's number; None is a barrier.
Program = Iterable[tuple[Kernel | None, int]]
BARRIER = None, 0


def every_block(
    shapes: list[Shape], pixels: object, hyper: Hyperparameters, *, weighted: bool
) -> Program:
    """Yield the kernels for each block of a batch.

    pixels: their dtype; weighted: whether images have weights
    """
    yield from forward(shapes, pixels, hyper)
    yield loss.kernel(hyper, weighted=weighted), len(shapes) - 1
    if shapes[-1].rounds:
        yield rounded.ROUND_ROWS, len(shapes) - 1
    yield BARRIER
    for i in reversed(range(len(shapes))):
        if i > 0:
            yield from _input_gradient(shapes, i, hyper)
            yield BARRIER
        if i > 0 and shapes[i - 1].normalized:
            yield batch_norm.BACKWARD, i - 1
            if shapes[i - 1].rounds:
                yield rounded.ROUND_UNITS, i - 1
        yield from _update(shapes[i], i, hyper)
        if i > 0 and shapes[i - 1].normalized:
            yield BARRIER


def logits(shapes: list[Shape], pixels: object, hyper: Hyperparameters) -> Program:
    """Yield the kernels that compute logits outside training."""
    yield from forward(shapes, pixels, hyper)
    yield loss.LOGITS, len(shapes) - 1


def every_kernel(
    shapes: list[Shape],
    pixels: object,
    hyper: Hyperparameters,
    *,
    weighted: bool,
    evaluated: list[Shape],
) -> list[Kernel]:
    """Return all kernels of a run, in the order of their first use.

    evaluated: the shapes outside training
    """
    programs = (
        every_block(shapes, pixels, hyper, weighted=weighted),
        every_step(shapes, hyper),
        logits(evaluated, pixels, hyper),
    )
    return list(dict.fromkeys(kernel for kernel, _ in chain(*programs) if kernel))


def forward(shapes: list[Shape], pixels: object, hyper: Hyperparameters) -> Program:
    """Yield the kernels that set all layers' outputs."""
    source = gather if hyper.augment is None else distort
    yield source.images(pixels), 0
    if hyper.input_noise > 0.0:
        yield gather.NOISY, 0
    if hyper.input_dropout > 0.0:
        yield dropout.PIXELS, 0
    if shapes[0].width:
        yield nonzero.MARK, 0
    if shapes[0].rounds:
        yield rounded.ROUND_IMAGES, 0
    by_panels = is_stored(hyper) or hyper.max_norm > 0.0
    for i in range(len(shapes)):
        if shapes[i].rounds:
            yield rounded.ROUND_PANELS if by_panels else rounded.ROUND_WEIGHT, i
    # Other threads may still be in the last step's update.
    yield BARRIER
    for i, shape in enumerate(shapes):
        if i > 0 and shape.width and not shapes[i - 1].width:
            yield BARRIER
        yield _product(shape, i), i
        if shape.normalized:
            yield batch_norm.FORWARD, i
        yield activations.forward(shape.activation), i
        if hyper.dropout > 0.0 and i < len(shapes) - 1:
            yield dropout.UNITS, i
        if i + 1 < len(shapes) and shapes[i + 1].rounds:
            yield rounded.ROUND_OUTPUTS, i
        if shape.width:
            yield BARRIER


def _product(shape: Shape, i: int) -> Kernel:
    """Return the kernel of layer i's products."""
    if not shape.width:
        return narrow.PRODUCT
    if shape.rounds:
        return rounded.multiply(shape.width, listed=i == 0)
    return wide.multiply(shape.width, listed=i == 0)


def _input_gradient(shapes: list[Shape], i: int, hyper: Hyperparameters) -> Program:
    """Yield the kernels for the gradient with respect to the previous layer's z."""
    source = rounded if shapes[i].rounds else wide if shapes[i].width else narrow
    yield source.INPUT_GRADIENT, i
    if hyper.dropout > 0.0 and shapes[i - 1].activation not in activations.LEAVE_OUT:
        yield dropout.GRADIENT, i
    if shapes[i - 1].activation != "identity":
        yield activations.backward(shapes[i - 1].activation), i
    if shapes[i - 1].rounds and not shapes[i - 1].normalized:
        yield rounded.ROUND_COLUMNS if shapes[i].width else rounded.ROUND_ROWS, i - 1


def is_stored(hyper: Hyperparameters) -> bool:
    """Return whether a batch's gradients are stored before a step is taken.

    The gradients of a large batch are summed from parts that stay in the L2 cache.
    """
    is_large = hyper.batch_size > LARGE
    return hyper.clip_norm > 0.0 or is_large or hyper.shards > 1


def _update(shape: Shape, i: int, hyper: Hyperparameters) -> Program:
    """Yield the kernels that take the step with a layer, or store its gradient."""
    name, width = hyper.optimizer, shape.width
    plain = name == "sgd" and not hyper.l1
    if not shape.normalized:
        yield wide.SUM_BIASES if width else narrow.SUM_BIASES, i
    how = {"listed": i == 0, "rounds": shape.rounds}
    if is_stored(hyper):
        yield wide_update.store(width, **how) if width else narrow.STORE, i
        return
    if plain:
        yield wide_update.descend(width, **how) if width else narrow.DESCEND, i
    elif width:
        yield wide_update.optimize(width, name, **how), i
    else:
        yield narrow.optimize(name), i
    yield optimizers.step_units(name), i
    if hyper.max_norm > 0.0 and width:
        if i == 0 and not shape.normalized:
            yield BARRIER  # several threads update the weights of a unit
        yield max_norm.WIDE, i


def every_step(shapes: list[Shape], hyper: Hyperparameters) -> Program:
    """Yield the kernels that follow a batch's blocks."""
    layers = range(len(shapes))
    if is_stored(hyper):
        yield BARRIER
        if hyper.clip_norm > 0.0:
            yield from ((optimizers.SQUARE, i) for i in layers)
            yield BARRIER
            yield optimizers.CLIP, 0
        for i in layers:
            yield optimizers.step_weight(hyper.optimizer), i
            yield optimizers.step_units(hyper.optimizer), i
    if hyper.max_norm > 0.0:
        yield BARRIER
        for i in layers:
            if is_stored(hyper) or not shapes[i].width:
                yield max_norm.WIDE if shapes[i].width else max_norm.NARROW, i
    if hyper.ema_decay > 0.0:
        yield BARRIER
        yield optimizers.AVERAGE, 0
