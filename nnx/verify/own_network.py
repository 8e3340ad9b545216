"""A given network's gradient compared with central differences, in float64.

For large layers, a sample of the entries is compared.
"""

from typing import NamedTuple

import numpy as np

from nnx.automatic import DEFAULT
from nnx.backend import Backend, choose
from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.maths import losses
from nnx.maths.arrays import Array, moved
from nnx.maths.state import Images, Layer, initial_state
from nnx.network import Network
from nnx.settings import Settings, complete
from nnx.training.prepare import fitted, hyperparameters
from nnx.verify import differences
from nnx.verify.compare import LAST_DIGITS, PLAIN
from nnx.verify.differences import Place, Problem
from nnx.verify.gradients import BOUND, EPSILON, backpropagated
from nnx.verify.kinks import forward_batch

# The settings that the minimized loss depends on, except for random ones.
MINIMIZED = "l1", "l2", "label_smoothing", "class_weights", "huber_delta"
# The batch has the IMAGES with the largest loss among EXAMINED_IMAGES spread over the
# set: an image that a network has learned perfectly has next to no gradient.
IMAGES, EXAMINED_IMAGES = 16, 1000
# Most entries of an array to compare; a smaller array is compared completely.
ENTRIES = 200
SEED = 0


class ParameterCheck(NamedTuple):
    """The error of the gradient of one layer's weight or bias.

    layer: number of the layer, from 1
    parameter: "weight" or "bias"
    shape: of the parameter
    entries: number of entries compared
    at_kinks: number of sampled entries left out, because a unit or the L1 penalty has a
        kink within the step
    largest: the largest slope by central differences, among the entries compared
    max_relative_error: the largest error relative to that slope; infinite if the
        gradient is not finite
    bound: the error must be below it; above 1e-6 if the slopes are so small that
        rounding of the loss hides their last digits
    """

    backend: str
    layer: int
    parameter: str
    shape: tuple[int, ...]
    entries: int
    at_kinks: int
    largest: float
    max_relative_error: float
    bound: float

    @property
    def within_bound(self) -> bool:
        """Whether the error is below the bound."""
        return self.max_relative_error < self.bound


def check(
    checked: Network,
    data: Dataset,
    settings: Settings,
    backend: str | Backend = DEFAULT,
) -> list[ParameterCheck]:
    """Compare the gradients of each layer's weight and bias with central differences.

    The gradient is computed as the backend does in training, from `IMAGES` training
    images with the settings in `MINIMIZED`; without dropout, distortion and
    normalization.

    Raises:
        InputError: data or settings do not fit, or the loss is not finite
        BackendError: the backend cannot be used
    """
    posed = _posed(checked, data, settings)
    chosen = choose(backend)
    index = np.arange(posed.hyper.batch_size)
    with chosen.scope():
        state, images, index = moved(
            (posed.state, posed.images, index), chosen.from_numpy
        )
        result = backpropagated(state, images, index, posed.hyper, chosen)
        gradients = moved(result.gradients, chosen.to_numpy)
        loss = float(chosen.to_numpy(result.loss_sum)) / posed.hyper.batch_size
    rng = np.random.default_rng(SEED)
    return [
        _compared(posed, i, name, np.asarray(gradient), loss, chosen.name, rng)
        for i, layer in enumerate(gradients)
        for name, gradient in zip(layer._fields, layer, strict=True)
    ]


def _posed(checked: Network, data: Dataset, settings: Settings) -> Problem:
    """Return the network with the images of the largest loss."""
    kept = {name: settings[name] for name in MINIMIZED}  # type: ignore[literal-required]
    settings = complete(kept | {"pixels": checked.pixels, "batch_size": "full"})
    fit = fitted(checked, data, settings)
    hyper = hyperparameters(fit, data, settings)
    layers = [Layer(*(np.array(a, np.float64) for a in each)) for each in fit.layers]
    state = initial_state(layers, hyper, PLAIN)
    n = len(data.train.labels)
    spread = np.unique(np.linspace(0, n - 1, EXAMINED_IMAGES).astype(int))
    labels = np.asarray(data.train.labels)[spread]
    if fit.task != "classification":  # targets, in the parameters' dtype
        labels = labels.astype(np.float64)
    images = Images(data.train.images[spread], labels)
    with np.errstate(over="ignore", invalid="ignore"):
        every = np.arange(len(images.labels))
        logits = forward_batch(state, images, every, hyper).logits
        loss, _ = losses.per_sample(logits, images.labels, hyper, xp=np)
    if not np.isfinite(loss).all():
        raise InputError(
            f"the network's loss on {data.name} is not finite; there is no gradient"
        )
    worst = np.sort(np.argsort(-loss, kind="stable")[:IMAGES])
    images = Images(images.pixels[worst], images.labels[worst])
    hyper = hyper._replace(batch_size=len(worst))
    caches = forward_batch(state, images, np.arange(len(worst)), hyper).caches
    return Problem(state, images, hyper, [cache.x for cache in caches])


def _compared(
    posed: Problem,
    i: int,
    name: str,
    gradient: Array,
    loss: float,
    backend: str,
    rng: np.random.Generator,
) -> ParameterCheck:
    """Compare one parameter's gradient with central differences."""
    array = getattr(posed.state.layers[i], name)
    # A step of a weight changes the unit by the step times the weight's input.
    felt = np.max(np.abs(posed.inputs[i])) if name == "weight" else 1.0
    step = EPSILON / max(1.0, float(felt))
    drawn = _drawn(gradient, rng)
    slopes = differences.slopes(posed, i, name, drawn, step)
    clear = ~np.isnan(slopes)
    got = np.array([gradient[place] for place in drawn])
    largest = float(np.max(np.abs(slopes[clear]), initial=0.0))
    error = float(np.max(np.abs(got - slopes)[clear], initial=0.0))
    rounding = LAST_DIGITS * np.finfo(float).eps * max(1.0, loss) / step
    if largest:
        error, bound = error / largest, max(BOUND, float(rounding / largest))
    else:
        error, bound = (0.0 if error < rounding else np.inf), BOUND
    return ParameterCheck(
        backend,
        i + 1,
        name,
        array.shape,
        int(np.sum(clear)),
        int(np.sum(~clear)),
        largest,
        error if np.isfinite(error) else np.inf,
        bound,
    )


def _drawn(gradient: Array, rng: np.random.Generator) -> list[Place]:
    """Return the places of the entries to compare: all, or a sample.

    The sample contains the largest entry. Up to half of it is drawn from entries that
    are not 0, and the rest from all entries.
    """
    if gradient.size <= ENTRIES:
        return list(np.ndindex(gradient.shape))
    flat = np.abs(gradient).ravel()
    taken = np.array([np.argmax(flat)])
    alive = np.flatnonzero(flat)
    for pool, count in (alive, ENTRIES // 2), (np.arange(flat.size), ENTRIES):
        left = np.setdiff1d(pool, taken)
        more = min(len(left), count - len(taken))
        taken = np.append(taken, rng.choice(left, more, replace=False))
    places = np.unravel_index(np.sort(taken), gradient.shape)
    return list(zip(*(each.tolist() for each in places), strict=True))
