"""What a network takes: images of its size and range, or a table's scaled rows."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nnx.data.arrays import as_array
from nnx.data.dataset import Array, Column, check_images
from nnx.data.frame_table import is_frame
from nnx.errors import InputError

if TYPE_CHECKING:
    from nnx.network import Network

# Bounds on a column's median distance from the training mean, in standard deviations:
# that of scaled values is hardly ever above FAR; that of unscaled values is below NEAR
# once they are scaled. At most EXAMINED_ROWS are examined.
FAR, NEAR, EXAMINED_ROWS = 5.0, 3.0, 1000
# Scaled values of fewer rows than this may well be far from the mean.
FEW_ROWS = 20


def rows_of(network: "Network", images: Any) -> Array:
    """Return images as an array (n, features), after checking them.

    images: as for `Network.predict`, which also gives the errors
    """
    if network.columns and is_frame(images):
        images = network.features(images)
    array, width = as_array(images), network.sizes[0]
    if array.dtype.kind == "O":
        array = as_array(array.tolist())  # finds a common dtype, if there is one
    if array.dtype.kind == "b":
        array = array.astype(np.float32)  # black and white, whatever the maximum
    if array.ndim > 2 and math.prod(array.shape[1:]) == width:
        array = array.reshape(-1, width)
    refuse_unscaled(array, network.columns)
    check_images(array, width, network.columns)
    if not network.columns and network.frame.maximum > 0:
        check_integers(array, network.frame.maximum)
    return array


def check_integers(images: Array, maximum: int) -> None:
    """Refuse integers in memory that cannot be pixels as in the training data.

    images: (n, features); floats, and rows in a file, are accepted
    maximum: the value of a fully lit pixel in the training data

    Raises:
        InputError: an integer is below 0 or above maximum
    """
    is_byte = images.dtype == np.uint8 and maximum >= 255  # in range by its type
    if is_byte or images.dtype.kind not in "iu" or not isinstance(images, np.ndarray):
        return
    low, high = int(images.min()), int(images.max())
    if low < 0 or high > maximum:
        raise InputError(
            f"integers are pixels from 0 to {maximum}, as in training, and these are "
            f"from {low} to {high}; floats are from 0 to 1"
        )


def refuse_unscaled(rows: Array, columns: Sequence[Column]) -> None:
    """Refuse a table's rows that are not scaled, or may not be.

    rows: (n, columns) or (n, features); float32 features, as from `Network.features`,
        are accepted unless there are many rows that are recognizably not scaled
    columns: of the network; if none is scaled, any numbers are accepted

    Raises:
        InputError: there is a column of text; the numbers are not float32; or they are
            close to the unscaled training rows and would be far outside the range of
            scaled ones
    """
    features = sum(column.width for column in columns)
    if rows.ndim != 2 or not len(rows) or rows.shape[1] not in (len(columns), features):
        return
    is_text = rows.dtype.kind not in "iuf" or rows.shape[1] != features
    is_scaled = any((column.mean, column.scale) != (0.0, 1.0) for column in columns)
    is_known = rows.dtype == np.float32
    if is_known and not is_text and len(rows) >= FEW_ROWS:
        is_known = not _are_unscaled(rows, columns)
    if is_text or (is_scaled and not is_known):
        raise InputError(
            "these are a table's values as they stand there (scaled ones are float32): "
            "give a data frame, or what network.features(array) makes of them"
        )


def refuse_scaled(rows: Array, columns: Sequence[Column]) -> None:
    """Refuse features of a table in place of its values, if they are recognizable.

    rows: (n, columns); accepted if not float32, or fewer than `FEW_ROWS`
    columns: of the network; if one has categories, all rows are accepted

    Raises:
        InputError: all numbers are near 0, as features are, and those of some column,
            as values, would be nearly constant and far from the training mean
    """
    features = rows.dtype == np.float32 and rows.shape[1:] == (len(columns),)
    of_text = any(column.categories for column in columns)
    if not features or len(rows) < FEW_ROWS or of_text:
        return
    as_features, as_values, scale = _distances(rows, columns)
    spread = rows[:EXAMINED_ROWS].std(axis=0, dtype=np.float64)
    same = (spread > 1 / FAR) & (spread < scale / FAR) & (as_values > 1.0)
    if (as_features < NEAR).all() and same.any():
        raise InputError(
            "x has features that are scaled already, as by network.features: give the "
            "table's values as they stand there"
        )


def _are_unscaled(rows: Array, columns: Sequence[Column]) -> bool:
    """Return whether numbers are likely a table's unscaled values."""
    if_scaled, if_not, _ = _distances(rows, columns)
    return bool((if_scaled > FAR).any() and (if_not < NEAR).all())


def _distances(rows: Array, columns: Sequence[Column]) -> tuple[Array, Array, Array]:
    """Return each feature's median distance from its mean, in standard deviations.

    First if the rows are features, then if they are values, with a 0 or 1 for each
    category; and the scales, (features,).
    """
    own = np.asarray(rows[:EXAMINED_ROWS], np.float64)
    scales = [
        (column.mean, column.scale) for column in columns for _ in range(column.width)
    ]
    mean, scale = np.array(scales).T
    if_scaled, if_not = (
        np.median(np.abs(far), axis=0) for far in (own, (own - mean) / scale)
    )
    return if_scaled, if_not, scale
