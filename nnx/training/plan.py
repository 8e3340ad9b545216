"""A run's records: its constant plan, its changing position, and its progress."""

from collections.abc import Sequence
from typing import NamedTuple

from nnx.backend import Backend
from nnx.data.dataset import Array
from nnx.maths import schedules
from nnx.maths.blocks import block_count
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Images, Layers, State
from nnx.training import scores
from nnx.training.log import Row, ended_early


class Position(NamedTuple):
    """Everything that changes in a run; training can resume from it exactly.

    seconds: of training so far
    log: a row for each complete epoch
    best: the inference layers of the best epoch so far, by the monitored images; None
        without early stopping
    """

    state: State
    seconds: float = 0.0
    log: tuple[Row, ...] = ()
    best: Layers | None = None


class Part(NamedTuple):
    """Images to score a network on.

    images: on the device, or read in windows like the training images
    pixel_scale: the factor for their pixels
    variation: `scores.variation` of their labels
    """

    images: Images
    pixel_scale: float
    variation: Array | None = None


class Plan(NamedTuple):
    """Everything that stays the same in a run; arrays are on the device.

    monitored: what each epoch is scored on
    variation: `scores.variation` of the training labels
    has_validation: whether monitored is a validation set, and not the test images
    patience: epochs without improvement after which the run ends; 0: never
    window: images per window; the pixels of larger sets stay on the host, or in a file,
        and come to the device window by window. 0: all are on the device
    samples: "images", or "rows" for a table
    """

    backend: Backend
    train: Images
    monitored: Part
    hyper: Hyperparameters
    variation: Array | None = None
    has_validation: bool = False
    patience: int = 0
    window: int = 0
    samples: str = "images"

    @property
    def images(self) -> int:
        """Number of training images."""
        return int(self.train.labels.shape[0])

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch; the last may be short."""
        return block_count(self.images, self.hyper.batch_size)

    @property
    def steps_per_window(self) -> int:
        """Number of steps per window; the last window of an epoch may have fewer."""
        return block_count(self.window or self.images, self.hyper.batch_size)

    @property
    def metric(self) -> str:
        """The metric of the scores, one of `log.METRICS`."""
        return scores.metric(self.hyper.loss)

    def steps_done(self, position: Position) -> int:
        """Return how many steps of the current epoch are done."""
        return position.state.step - len(position.log) * self.steps_per_epoch

    def steps_left(self, position: Position) -> int:
        """Return how many steps of the current window are left."""
        done, each = self.steps_done(position), self.steps_per_window
        return min(each - done % each, self.steps_per_epoch - done)

    def images_done(self, position: Position) -> int:
        """Return how many images of the current epoch are done."""
        return min(self.steps_done(position) * self.hyper.batch_size, self.images)

    def is_done(self, position: Position) -> bool:
        """Return whether all epochs are done, or the run has ended early."""
        early = ended_early(position.log, self.patience)
        return early or len(position.log) >= self.hyper.epochs


class Progress(NamedTuple):
    """A moment in a run.

    epochs: done so far, including the fraction of the current one
    total_epochs: of the whole run, unless it ends early
    loss, score: of the current epoch so far, or of the whole epoch at its end
    images_per_second: of the current epoch so far, or of the whole epoch at its end
    epoch_ended: whether the position is at the end of an epoch
    metric: of the scores, one of `log.METRICS`
    part: the images that epochs are scored on: "validation" or "test"
    samples: "images" or "rows", as in the plan
    """

    position: Position
    epochs: float
    total_epochs: int
    loss: float
    score: float
    images_per_second: float
    epoch_ended: bool
    metric: str
    part: str
    samples: str

    def __repr__(self) -> str:
        """Return one line; the position holds the whole network."""
        return (
            f"Progress: {self.epochs:.2f} of {self.total_epochs} epochs, loss "
            f"{self.loss:.4f}, {scores.in_words(self.score, self.metric)}, "
            f"{self.images_per_second:,.0f} {self.samples}/s"
        )


def epoch_hyper(hyper: Hyperparameters, log: Sequence[Row]) -> Hyperparameters:
    """Return the next epoch's hyperparameters; plateaus lower the learning rate."""
    schedule = hyper.schedule
    if schedule.name != "plateau":
        return hyper
    monitored = [row.monitored[1] for row in log]
    factor = schedule.factor ** schedules.plateaus(monitored, schedule.patience)
    return hyper._replace(learning_rate=factor * hyper.learning_rate)
