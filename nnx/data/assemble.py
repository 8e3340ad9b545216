"""Making a checked data set from the arrays in a file."""

from nnx.data.dataset import Dataset, RawSplit, Split, frame_of
from nnx.data.labels import class_numbers, refuse_label, require_two
from nnx.data.pixels import as_pixels
from nnx.data.split import hold_out
from nnx.errors import InputError


def assemble(
    name: str,
    train: RawSplit,
    test: RawSplit | None,
    *,
    size: tuple[int, int] | None = None,
    classes: tuple[str, ...] | None = None,
    notes: tuple[str, ...] = (),
) -> Dataset:
    """Return a checked data set; without a test part, a tenth is held out for testing.

    size: (height, width) of the images; None: square if the number of features is
    classes: the names of the classes; None: numbers up to the largest training label

    Raises:
        InputError: no samples, different numbers of samples and labels, invalid pixels
            or labels, or only one class
    """
    parts = [train] if test is None else [train, test]
    _check_shapes(parts)
    images, maximum, pixel_notes = as_pixels([part.images for part in parts])
    labels = [class_numbers(part.labels) for part in parts]
    require_two(labels[0], train.labels.source)
    classes = classes or tuple(map(str, range(int(labels[0].max()) + 1)))
    expected = f", expected 0 to {len(classes) - 1}"
    for part, numbers in zip(parts, labels, strict=True):
        refuse_label(part.labels, numbers, numbers >= len(classes), expected)
    splits = [Split(*pair) for pair in zip(images, labels, strict=True)]
    notes += pixel_notes
    if test is None:
        splits, note = hold_out(splits[0], 10)
        notes += (note,)
    require_two(splits[0].labels, train.labels.source)
    frame = frame_of(images[0].shape[1], size, maximum)
    return Dataset(name, splits[0], splits[1], classes, frame, notes)


def _check_shapes(parts: list[RawSplit]) -> None:
    features = parts[0].images.values.shape[1]
    for images, labels in parts:
        rows, columns = images.values.shape
        if rows == 0 or columns == 0:
            raise InputError(f"{images.source}: no samples: {rows} x {columns} pixels")
        if rows != len(labels.values):
            raise InputError(
                f"{images.source} has {rows} images, but "
                f"{labels.source} has {len(labels.values)} labels"
            )
        if columns != features:
            raise InputError(
                f"{images.source}: {columns} pixels per image, "
                f"but {parts[0].images.source} has {features}"
            )
