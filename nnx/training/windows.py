"""Data larger than memory: windows of images, on the device one after another.

A window is a number of consecutive images, in whole batches, so files are read
sequentially. An epoch visits the windows in random order, and the images of each window
in random order. While one window is trained on, a thread reads the next.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat

import numpy as np

from nnx import memory
from nnx.backend import Backend
from nnx.data.dataset import Dataset, Split
from nnx.data.file_bytes import Buffers
from nnx.data.rows import in_file, loaded
from nnx.maths import random
from nnx.maths.arrays import Array
from nnx.maths.blocks import block_count, blocks
from nnx.maths.hyperparameters import Stream
from nnx.maths.state import Images
from nnx.settings import Settings
from nnx.training.plan import Plan, Position

# The shares of memory that a whole set, and one window, may take. Four windows may be
# in memory at once: one being trained on, one being read, and two of an evaluation.
WHOLE, ONE = 1 / 2, 1 / 16


def automatic(parts: Iterable[Split], backend: Backend) -> int:
    """Return the images per window, or 0 if memory has room for all parts at once.

    Arrays that are already in the host's memory need no more room there.
    """
    parts = list(parts)
    sizes = [part.images.nbytes for part in parts]
    host, device = memory.available(), backend.memory()
    read = sum(n for n, part in zip(sizes, parts, strict=True) if in_file(part.images))
    if read <= WHOLE * host and sum(sizes) <= WHOLE * device:
        return 0
    each_image = int(parts[0].images[:1].nbytes)
    return max(1, int(ONE * min(host, device)) // each_image)


def kept(
    settings: Settings, data: Dataset, backend: Backend, resumed: bool
) -> int | str:
    """Return the window to store in the settings; a new run's "auto" may get a size."""
    if resumed or settings["window"] != "auto":
        return settings["window"]
    return automatic(data.parts, backend) or "auto"


def whole_batches(window: int, n: int, batch_size: int) -> int:
    """Return the images per window of n images, in whole batches; 0: no windows.

    There are as many windows as with the given size, but all of about the same size;
    the last may be smaller.

    window: images, or 0
    """
    batches = block_count(n, batch_size)
    count = block_count(batches, max(1, block_count(window, batch_size)))
    return batch_size * block_count(batches, count) if window and count > 1 else 0


def read(images: Images, rows: slice, backend: Backend, buffers: Buffers) -> Images:
    """Return a window with its pixels on the device."""
    with backend.scope():
        # This also reads the rows of a mapped file, in this thread.
        pixels = loaded(images.pixels, rows, buffers)
        return images._replace(pixels=backend.from_numpy(pixels), first=rows.start)


def visited(plan: Plan, epoch: int) -> list[tuple[int, slice]]:
    """Return an epoch's windows in the order of visits, each with its number.

    The last window of the set, which may be short, stays last, so batches are whole.
    """
    windows = blocks(plan.images, plan.window or plan.images)
    last = len(windows) - 1
    numbers = random.permutation(
        last, seed=plan.hyper.seed, epoch=epoch, stream=Stream.WINDOWS, xp=np
    )
    order = numbers.tolist()
    return [(i, windows[i]) for i in (*order, last)]


def order(plan: Plan, epoch: int) -> Array:
    """Return the order of an epoch's images, (n,), window by window."""
    xp, device = plan.backend.xp, plan.train.labels.device
    how = {"seed": plan.hyper.seed, "epoch": epoch, "xp": xp, "device": device}
    parts = [
        random.permutation(rows.stop - rows.start, part=i, **how) + rows.start
        for i, rows in visited(plan, epoch)
    ]
    return parts[0] if len(parts) == 1 else xp.concat(parts)


def trained(plan: Plan, position: Position) -> Iterator[Images]:
    """Yield the window of the next step, then all later windows of the run."""
    if not plan.window:
        return repeat(plan.train)
    epochs = range(len(position.log), plan.hyper.epochs)
    every = chain.from_iterable(visited(plan, epoch) for epoch in epochs)
    for _ in range(plan.steps_done(position) // plan.steps_per_window):
        next(every)
    return _ahead(plan.train, (rows for _, rows in every), plan.backend)


def all_of(images: Images, window: int, backend: Backend) -> Iterator[Images]:
    """Yield images window by window, each a set of its own with its labels.

    images: from `prepare.on_device`
    window: as there
    """
    n = images.labels.shape[0]
    if not 0 < window < n:
        yield images
        return
    for part in _ahead(images, blocks(n, window), backend):
        rows = slice(part.first, part.first + part.pixels.shape[0])
        yield Images(part.pixels, part.labels[rows, ...])


def sample(plan: Plan) -> Images:
    """Return images on the device of the same kind as those that steps take."""
    if not plan.window:
        return plan.train
    rows = slice(0, plan.hyper.batch_size)
    return read(plan.train, rows, plan.backend, Buffers())


def _ahead(
    images: Images, windows: Iterable[slice], backend: Backend
) -> Iterator[Images]:
    """Yield windows on the device, while a thread reads the next one."""
    buffers = Buffers()
    with ThreadPoolExecutor(1, "nnx-window") as reader:
        brought = (
            reader.submit(read, images, part, backend, buffers) for part in windows
        )
        coming = next(brought, None)
        while coming:
            now, coming = [coming.result()], next(brought, None)
            yield now.pop()  # keep no reference: the caller decides how long it lives
