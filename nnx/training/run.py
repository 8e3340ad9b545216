"""A run: what stays the same in it, what changes, and what it tells of itself."""

from typing import NamedTuple

from nnx.backend import Backend
from nnx.maths.distortion import Distortion
from nnx.maths.network import Layers
from nnx.maths.steps import Images, Recipe, State
from nnx.training.log import Row, ended_early
from nnx.training.pace import Pace


class Position(NamedTuple):
    """Everything that changes in a run; training goes on from it exactly.

    epoch: epochs completed
    step: steps completed in the epoch that is running
    best: the layers, in use, of the epoch that did best on the validation images
    """

    state: State
    epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    log: tuple[Row, ...] = ()
    best: Layers | None = None


class Run(NamedTuple):
    """Everything that stays the same in a run; arrays are on the device.

    held: the images that an epoch is measured by, and what scales their pixels
    validated: whether these are held out of the training images, and not the test's
    early_stopping: epochs without a better one after which the run ends; 0 is never
    distortion: of the training images, anew in every epoch; None leaves them
    size: height and width of an image
    """

    backend: Backend
    train: Images
    held: Images
    recipe: Recipe
    held_scale: float
    pace: Pace
    seed: int
    distortion: Distortion | None
    size: tuple[int, int]
    validated: bool = False
    early_stopping: int = 0

    @property
    def epochs(self) -> int:
        """How many there are at most."""
        return self.pace.epochs

    @property
    def images(self) -> int:
        """How many training images there are."""
        return int(self.train.labels.shape[0])

    @property
    def steps_per_epoch(self) -> int:
        """How many batches hold all training images; the last may be short."""
        return -(-self.images // self.recipe.batch_size)

    def images_in(self, step: int) -> int:
        """Return how many images of an epoch its first steps take."""
        return min(step * self.recipe.batch_size, self.images)

    def is_done(self, position: Position) -> bool:
        """Return whether all epochs are over, or it has ended early."""
        early = ended_early(position.log, self.early_stopping)
        return early or position.epoch >= self.epochs


class Progress(NamedTuple):
    """A moment in a run.

    epochs: completed so far, with the part of the one that is running
    loss, accuracy: of the epoch so far, or of the whole epoch at its end
    images_per_second: of the running epoch, or of the whole one at its end
    epoch_ended: whether the position is at an epoch's end
    """

    position: Position
    epochs: float
    loss: float
    accuracy: float
    images_per_second: float
    epoch_ended: bool
