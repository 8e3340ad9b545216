"""How much a picture or a row resembles the training data, and when to doubt an answer.

A network can only answer with one of its classes, and is certain even about a letter.
A model therefore stores, for each class, the directions of strokes in each part of the
picture: the mean of its training pictures and the few axes along which these vary most,
as in the subspace method (S. Watanabe). A picture's strangeness is what remains of it
outside the subspace.
"""

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nnx.automatic import DEFAULT
from nnx.data.dataset import Array, Frame, Split
from nnx.errors import InputError
from nnx.maths.blocks import blocks

if TYPE_CHECKING:
    from nnx.backend import Backend
    from nnx.data.picture import Picture
    from nnx.network import Network

PARTS, DIRECTIONS, AXES = 4, 4, 12
# At most MOST pictures are used. If a class has fewer than LEAST, there is no likeness.
MOST, LEAST = 10_000, 50
LEAST_SPREAD = 1e-3
# Shares of the correctly predicted held-out pictures to call strange and unsure.
STRANGE, IMPROBABLE = 0.012, 0.004
# Without a likeness, an answer with a probability below this is unsure.
GUESS = 0.5
UNLIKE, UNSURE = "unlike its training pictures", "unsure"


class Likeness(NamedTuple):
    """Statistics that tell pictures like a network's training pictures from others.

    mean: (classes, features), of the stroke directions of each class
    axes: (classes, features, AXES), orthonormal; along these they vary most
    middle, spread: (classes,), mean and standard deviation of the logarithm of the
        squared distance from the subspace
    limits: (2,), the largest strangeness and the least probability without doubt
    """

    mean: Array
    axes: Array
    middle: Array
    spread: Array
    limits: Array


def shapes(classes: int) -> Likeness:
    """Return the shapes of a likeness's arrays."""
    features = PARTS * PARTS * DIRECTIONS
    mean, axes = (classes, features), (classes, features, AXES)
    return Likeness(mean, axes, (classes,), (classes,), (2,))


def doubt(
    network: "Network", picture: "Picture", *, backend: "str | Backend" = DEFAULT
) -> str | None:
    """Return why to doubt a network's answer to a picture; None without doubt.

    The reasons are "blank", "noise" and "two shapes", which `nnx.read_picture` finds.
    For single-label classification there are also "unlike its training pictures", and
    "unsure" if even the best class is improbable.

    Raises:
        InputError: picture is not from `nnx.read_picture`, or as for `Network.predict`
    """
    if not hasattr(picture, "doubt"):
        raise InputError(
            "expected a picture, as nnx.read_picture gives it, not a "
            f"{type(picture).__name__}"
        )
    reason = picture.doubt
    # A class named by one character is one shape; other classes may have several.
    if reason == "two shapes" and any(len(name) > 1 for name in network.classes):
        reason = None
    if reason is None and network.task == "classification":
        pixels = picture.pixels[None]
        chances = network.predict_proba(pixels, backend=backend)
        [reason] = doubts(network.likeness, pixels, chances, network.frame)
    return reason


def directions(images: Array, frame: Frame) -> Array:
    """Return the strength of strokes by direction in each part of the pictures.

    images: (n, features) or (n, height, width), of any scale
    returns: (n, PARTS * PARTS * DIRECTIONS), rows of length one (or zero)
    """
    parts = np.kron(_parts(frame.height), _parts(frame.width)).T
    pictures = images.reshape(-1, frame.height, frame.width)
    strengths = [_directions(pictures[rows], parts) for rows in blocks(len(pictures))]
    return np.concatenate(strengths)


def _directions(pictures: Array, parts: Array) -> Array:
    """Return the directions of a block of pictures; parts: (pixels, parts), 0 or 1."""
    grey = np.pad(np.float32(pictures), ((0, 0), (1, 1), (1, 1)))
    down = grey[:, 2:, 1:-1] - grey[:, :-2, 1:-1]
    across = grey[:, 1:-1, 2:] - grey[:, 1:-1, :-2]
    # The doubled angle of the gradient is the same at both edges of a stroke.
    steep = np.maximum(np.sqrt(across * across + down * down), 1e-9)
    cosine = (across * across - down * down) / steep
    sine = 2 * across * down / steep
    strengths = []
    for i in range(DIRECTIONS):
        angle = 2 * math.pi * i / DIRECTIONS
        along = math.cos(angle) * cosine + math.sin(angle) * sine
        strengths.append(np.maximum(along, 0).reshape(len(grey), -1) @ parts)
    features = np.sqrt(np.concatenate(strengths, axis=1))
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)


def _parts(side: int) -> Array:
    """Return which part each row or column of pixels is in, (PARTS, side), 0 or 1."""
    part = np.arange(side) * PARTS // side
    return np.float32(part == np.arange(PARTS)[:, None])


def sample(split: Split) -> Split:
    """Return at most `MOST` of the pictures, evenly spread over the set."""
    which = slice(None, None, -(-len(split.labels) // MOST))
    return Split(split.images[which], split.labels[which])


def fitted(
    train: Split, held_out: Split, probabilities: Array, frame: Frame
) -> Likeness | None:
    """Return the likeness of a network's training pictures.

    None if a class has fewer than `LEAST` of them, or no held-out answer is right.

    train: a sample of the training pictures
    held_out: pictures that the network was not trained on
    probabilities: (n, classes), the network's for the held-out pictures
    """
    classes, labels = probabilities.shape[1], train.labels
    features = directions(train.images, frame)
    if np.bincount(labels, minlength=classes).min() < LEAST:
        return None
    parts = [_subspace(features[labels == i]) for i in range(classes)]
    mean, axes, middle, spread = map(np.array, zip(*parts, strict=True))
    known = Likeness(mean, axes, middle, spread, np.zeros(2))
    taken = probabilities.argmax(axis=1)
    right = taken == held_out.labels
    if not right.any():
        return None
    far = strangeness(known, held_out.images, taken, frame)[right]
    limits = (
        np.quantile(far, 1 - STRANGE),
        np.quantile(probabilities.max(axis=1)[right], IMPROBABLE),
    )
    known = known._replace(limits=np.array(limits))
    return Likeness(*map(np.float32, known))


def _subspace(features: Array) -> tuple[Array, Array, Array, Array]:
    """Return a class's mean and axes, and its log distances' mean and deviation."""
    mean = features.mean(axis=0, dtype=np.float64)
    off = features - mean
    _, axes = np.linalg.eigh(off.T @ off)  # ascending
    axes = axes[:, : -AXES - 1 : -1]
    distance = _log_distance(off, axes)
    return mean, axes, distance.mean(), max(distance.std(), LEAST_SPREAD)


def _log_distance(off: Array, axes: Array) -> Array:
    """Return the logarithm of the squared distance from the subspace, (n,)."""
    rest = (off**2).sum(axis=1) - ((off @ axes) ** 2).sum(axis=1)
    return np.log(np.maximum(rest, 1e-9))


def strangeness(known: Likeness, images: Array, taken: Array, frame: Frame) -> Array:
    """Return how far pictures are from their class, in standard deviations, (n,).

    images: as for `directions`
    taken: (n,), the predicted class of each
    """
    features, far = directions(images, frame), np.zeros(len(taken))
    for i in np.unique(taken):
        own = taken == i
        distance = _log_distance(features[own] - known.mean[i], known.axes[i])
        far[own] = (distance - known.middle[i]) / known.spread[i]
    return far


def doubts(
    known: Likeness | None, images: Array, probabilities: Array, frame: Frame
) -> list[str | None]:
    """Return the reason to doubt each answer: `UNLIKE`, `UNSURE`, or None.

    images: (n, features) or (n, height, width)
    probabilities: (n, classes), the network's for these images
    """
    sure, least = probabilities.max(axis=1), GUESS
    strange = np.zeros(len(sure), bool)
    if known is not None:
        limit, least = known.limits
        classes = probabilities.argmax(axis=1)
        strange = strangeness(known, images, classes, frame) > limit
    return [
        UNLIKE if odd else UNSURE if chance < least else None
        for odd, chance in zip(strange, sure, strict=True)
    ]
