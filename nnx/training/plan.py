"""A run's records: what stays the same in it, what changes, and what it tells."""

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
    """Everything that changes in a run; training goes on from it exactly.

    seconds: of training so far
    log: a row for each epoch that is complete
    best: the layers, for inference, of the epoch that did best on the validation set;
        None without early stopping
    """

    state: State
    seconds: float = 0.0
    log: tuple[Row, ...] = ()
    best: Layers | None = None


class Plan(NamedTuple):
    """Everything that stays the same in a run; arrays are on the device.

    monitored: the images that an epoch is measured by
    monitored_scale: what their pixels are multiplied by
    variations: of the targets of a regression, training and monitored ones, see
        `scores.variation`; None of others
    has_validation: whether these are a validation set, and not the test images
    patience: epochs without a better one after which the run ends; 0 is never
    window: how many images are on the device at once, of more than these; the pixels of
        all are on the host, or in a file. 0: all are on the device
    samples: what they are called: "images", or "rows" of a table
    """

    backend: Backend
    train: Images
    monitored: Images
    hyper: Hyperparameters
    monitored_scale: float
    variations: tuple[Array | None, Array | None] = (None, None)
    has_validation: bool = False
    patience: int = 0
    window: int = 0
    samples: str = "images"

    @property
    def images(self) -> int:
        """How many training images there are."""
        return int(self.train.labels.shape[0])

    @property
    def steps_per_epoch(self) -> int:
        """How many batches hold all training images; the last may be short."""
        return block_count(self.images, self.hyper.batch_size)

    @property
    def steps_per_window(self) -> int:
        """How many steps the images of a window take; an epoch's last may be short."""
        return block_count(self.window or self.images, self.hyper.batch_size)

    @property
    def metric(self) -> str:
        """What scores are, of `log.METRICS`."""
        return scores.metric(self.hyper.loss)

    def steps_done(self, position: Position) -> int:
        """Return how many steps of the running epoch are done."""
        return position.state.step - len(position.log) * self.steps_per_epoch

    def steps_left(self, position: Position) -> int:
        """Return how many steps of the running epoch's window are left."""
        done, each = self.steps_done(position), self.steps_per_window
        return min(each - done % each, self.steps_per_epoch - done)

    def images_done(self, position: Position) -> int:
        """Return how many images of the running epoch these steps took."""
        return min(self.steps_done(position) * self.hyper.batch_size, self.images)

    def is_done(self, position: Position) -> bool:
        """Return whether all epochs are over, or it has ended early."""
        early = ended_early(position.log, self.patience)
        return early or len(position.log) >= self.hyper.epochs


class Progress(NamedTuple):
    """A moment in a run.

    epochs: completed so far, with the part of the one that is running
    total_epochs: of the whole run, unless it ends early
    loss, score: of the epoch so far, or of the whole epoch at its end
    images_per_second: of the running epoch, or of the whole one at its end
    epoch_ended: whether the position is at an epoch's end
    metric: what scores are, of `log.METRICS`
    part: what an epoch is measured by: "validation", or "test" images
    samples: what images are called, as in the plan
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


def epoch_hyper(hyper: Hyperparameters, log: Sequence[Row]) -> Hyperparameters:
    """Return the hyperparameters of the next epoch: a plateau lowers the rate."""
    schedule = hyper.schedule
    if schedule.name != "plateau":
        return hyper
    monitored = [row.monitored[1] for row in log]
    factor = schedule.factor ** schedules.plateaus(monitored, schedule.patience)
    return hyper._replace(learning_rate=factor * hyper.learning_rate)
