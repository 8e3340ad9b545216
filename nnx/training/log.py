"""A run's log: a row for each epoch, and what follows from the rows."""

from collections.abc import Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """An epoch's line in the log.

    train_loss, train_accuracy: the mean over the epoch's batches as they came, with
        dropout, smoothed labels and class weights where there are any
    validation_loss, validation_accuracy: of the network at the epoch's end, on images
        held out for choosing; None where there are none
    test_loss, test_accuracy: the same on the test images, which are left alone where
        there are others to choose by
    seconds: of training since the run began, without testing and loading
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    seconds: float

    @property
    def held(self) -> tuple[float, float]:
        """Loss and accuracy on the images that the epoch was measured by."""
        if self.validation_loss is not None and self.validation_accuracy is not None:
            return self.validation_loss, self.validation_accuracy
        assert self.test_loss is not None
        assert self.test_accuracy is not None
        return self.test_loss, self.test_accuracy

    @property
    def score(self) -> tuple[float, float]:
        """What the best epoch has the most of."""
        loss, accuracy = self.held
        return accuracy, -loss


def best(log: Sequence[Row]) -> Row:
    """Return the best epoch's row; of equals, the first."""
    return max(log, key=lambda row: row.score)


def ended_early(log: Sequence[Row], patience: int) -> bool:
    """Return whether so many epochs since the best brought nothing better.

    patience: 0 is without end
    """
    return bool(patience and log) and log[-1].epoch - best(log).epoch >= patience
