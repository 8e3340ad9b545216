"""The result of a run."""

from typing import TYPE_CHECKING, NamedTuple

from nnx import blas
from nnx.data.dataset import Array, Dataset
from nnx.likeness import Likeness, fitted, sample
from nnx.maths.arrays import map_arrays
from nnx.maths.network import inference_layers
from nnx.network import Network
from nnx.training import loop, scores
from nnx.training.finite import check_arrays, check_loss
from nnx.training.log import Row, best, columns
from nnx.training.plan import Part
from nnx.training.prepare import part_of

if TYPE_CHECKING:
    from nnx.training.run import Run


class Result(NamedTuple):
    """The result of a run.

    network: as after the last step, or with early stopping after the best epoch
    train_loss, test_loss: mean losses of that network; for classes and labels in nats
    train_score, test_score: accuracy, in [0, 1], or R² of that network
    validation_loss, validation_score: the same on the validation set, or None
    metric: of the scores: "accuracy", or "r2" for a regression
    seconds: of training, without loading and testing
    images_per_second: throughput of training
    log: a row for each epoch
    stopped: whether the run was stopped before the end of its last epoch
    ended_early: whether the run ended before its last epoch for lack of improvement
    best_epoch: the epoch that the weights are from, if early stopping chose them
    trained: whether any training was left to do
    test_rmse: (targets,); each target's root mean squared error on the test images, in
        the target's unit; None unless a regression
    """

    network: Network
    train_loss: float
    train_score: float
    test_loss: float
    test_score: float
    validation_loss: float | None
    validation_score: float | None
    metric: str
    seconds: float
    images_per_second: float
    log: tuple[Row, ...]
    stopped: bool
    ended_early: bool
    best_epoch: int | None
    trained: bool
    test_rmse: Array | None = None

    @property
    def train_accuracy(self) -> float:
        """Accuracy on the training images; AttributeError for a regression."""
        self._check_accuracy()
        return self.train_score

    @property
    def test_accuracy(self) -> float:
        """Accuracy on the test images; AttributeError for a regression."""
        self._check_accuracy()
        return self.test_score

    @property
    def validation_accuracy(self) -> float | None:
        """Accuracy on the validation set, or None; AttributeError for a regression."""
        self._check_accuracy()
        return self.validation_score

    def _check_accuracy(self) -> None:
        if self.metric != "accuracy":
            raise AttributeError("a regression has no accuracy; its score is R²")

    @property
    def history(self) -> dict[str, Array]:
        """The log by column, each (epochs,); NaN where nothing was measured."""
        return columns(self.log)

    def __repr__(self) -> str:
        """Summarize the result in five lines of at most 100 characters."""
        end = ", stopped" if self.stopped else ", early" if self.ended_early else ""
        chosen = f", weights of epoch {self.best_epoch}" if self.best_epoch else ""
        samples = scores.samples(self.network.columns)
        lines = (
            f"Result of {len(self.log)} epochs{end}{chosen}, in {self.seconds:.2f} s, "
            f"{self.images_per_second:,.0f} {samples}/s",
            f"  network     {self.network.parameters:,} parameters, {self.network}",
            f"  training    {self._words('train')}",
            f"  validation  {self._words('validation')}",
            f"  test        {self._words('test')}",
        )
        return "\n".join(line[:100] for line in lines)

    def _words(self, part: str) -> str:
        score, loss = getattr(self, f"{part}_score"), getattr(self, f"{part}_loss")
        if score is None:
            return "no validation set"
        words = f"{scores.in_words(score, self.metric)}, loss {loss:.4f}"
        if part == "test" and self.test_rmse is not None:
            words += f", RMSE {', '.join(map(scores.quantity, self.test_rmse))}"
        return words


def result_of(run: "Run", *, trained: bool) -> Result:
    """Return the result of a run at its present position."""
    plan, position, backend = run.plan, run.position, run.backend
    layers = position.best or inference_layers(position.state, xp=backend.xp)
    own = Part(plan.train, plan.hyper.pixel_scale, plan.variation)
    train = loop.score(plan, layers, own)
    test = monitored = loop.score(plan, layers, plan.monitored)
    if plan.has_validation:  # the test images were not used until now
        tested = run.data.test, run.network, backend, plan.window
        test = loop.score(plan, layers, part_of(*tested))
    check_arrays(plan, position)
    for loss in train.loss, test.loss:
        check_loss(plan, position, loss, "when all is done")
    images = len(position.log) * plan.images + plan.images_done(position)
    validation = monitored if plan.has_validation else (None, None)
    done = plan.is_done(position)
    # A copy: a backend holds a state's memory as long as its arrays exist.
    network = run.network.replace(layers=map_arrays(backend.to_numpy, layers))
    network.likeness = _likeness(run, network)
    return Result(
        network=network,
        train_loss=train.loss,
        train_score=train.score,
        test_loss=test.loss,
        test_score=test.score,
        validation_loss=validation[0],
        validation_score=validation[1],
        metric=plan.metric,
        seconds=position.seconds,
        images_per_second=images / position.seconds if position.seconds else 0.0,
        log=position.log,
        stopped=not done,
        ended_early=done and len(position.log) < plan.hyper.epochs,
        best_epoch=best(position.log).epoch if position.best else None,
        trained=trained,
        test_rmse=_rmse(run.data, test),
    )


def _likeness(run: "Run", network: Network) -> Likeness | None:
    """Return the likeness of the training pictures; None if there are no pictures."""
    data = run.data
    if data.task != "classification" or data.columns or not data.frame.box:
        return None
    train, test = sample(data.train), sample(data.test)
    probabilities = network.predict_proba(test.images, backend=run.backend)
    # One thread, because the result must not depend on the number of threads: with
    # Numba, the weights do not.
    with blas.threads_for(0):
        return fitted(train, test, probabilities, data.frame)


def _rmse(data: Dataset, test: loop.Scored) -> Array | None:
    if data.task != "regression":
        return None
    return scores.rmse(test.score_sum, len(data.test.labels), data.targets)
