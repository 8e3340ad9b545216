"""What a run comes to."""

from typing import TYPE_CHECKING, NamedTuple

from nnx.data.dataset import Array
from nnx.maths.arrays import map_arrays
from nnx.maths.network import inference_layers
from nnx.network import Network
from nnx.training import loop
from nnx.training.log import Row, best, columns
from nnx.training.prepare import on_device

if TYPE_CHECKING:
    from nnx.training.run import Run


class Result(NamedTuple):
    """A run's outcome.

    network: as it is after the last step, or after the best epoch
    train_loss, test_loss: mean, in nats, of that network
    train_accuracy, test_accuracy: of that network, in [0, 1]
    validation_loss, validation_accuracy: the same on the validation set, None without
    seconds: of training, without loading and testing
    images_per_second: in training
    log: a row for each epoch
    stopped: whether training was stopped before its last epoch's end
    ended_early: whether it ended before that as nothing better came
    best_epoch: whose weights these are where early stopping chose them
    trained: whether there was anything left to do
    """

    network: Network
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float
    images_per_second: float
    log: tuple[Row, ...]
    stopped: bool
    ended_early: bool
    best_epoch: int | None
    trained: bool

    @property
    def history(self) -> dict[str, Array]:
        """The log by column, each (epochs,); NaN where nothing was measured."""
        return columns(self.log)

    def __repr__(self) -> str:
        """Say the outcome in five lines, none of more than 100 characters."""
        end = ", stopped" if self.stopped else ", early" if self.ended_early else ""
        chosen = f", weights of epoch {self.best_epoch}" if self.best_epoch else ""
        lines = (
            f"Result of {len(self.log)} epochs{end}{chosen}, in {self.seconds:.2f} s, "
            f"{self.images_per_second:,.0f} images/s",
            f"  network     {self.network.parameters:,} parameters, {self.network}",
            f"  training    {_score(self.train_accuracy, self.train_loss)}",
            f"  validation  {_score(self.validation_accuracy, self.validation_loss)}",
            f"  test        {_score(self.test_accuracy, self.test_loss)}",
        )
        return "\n".join(line[:100] for line in lines)


def _score(accuracy: float | None, loss: float | None) -> str:
    if accuracy is None:
        return "no validation set"
    return f"accuracy {accuracy:.4f}, loss {loss:.4f}"


def result_of(run: "Run", *, trained: bool) -> Result:
    """Return the outcome of a run where it is now."""
    plan, position, backend = run.plan, run.position, run.backend
    layers = position.best or inference_layers(position.state, xp=backend.xp)
    train = loop.score(plan, layers, plan.train, plan.hyper.pixel_scale)
    monitored = loop.score(plan, layers, plan.monitored, plan.monitored_scale)
    test = monitored
    if plan.has_validation:
        scale = run.network.pixel_scale(run.data.test.images.dtype)
        test = loop.score(plan, layers, on_device(run.data.test, backend), scale)
    for loss in train[0], test[0]:
        loop.check_finite(plan, loss, "when all is done")
    images = len(position.log) * plan.images + plan.images_done(position)
    validation = monitored if plan.has_validation else (None, None)
    done = plan.is_done(position)
    return Result(
        network=run.network.replace(layers=map_arrays(backend.to_numpy, layers)),
        train_loss=train[0],
        train_accuracy=train[1],
        test_loss=test[0],
        test_accuracy=test[1],
        validation_loss=validation[0],
        validation_accuracy=validation[1],
        seconds=position.seconds,
        images_per_second=images / position.seconds if position.seconds else 0.0,
        log=position.log,
        stopped=not done,
        ended_early=done and len(position.log) < plan.hyper.epochs,
        best_epoch=best(position.log).epoch if position.best else None,
        trained=trained,
    )
