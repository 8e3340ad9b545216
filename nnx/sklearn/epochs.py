"""Fitting epoch by epoch until there is no improvement, as scikit-learn does."""

import math
import warnings
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from nnx.maths.arrays import Array, moved
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.network import inference_layers
from nnx.maths.state import State
from nnx.sklearn import stochastic
from nnx.sklearn.places import Place, dtype_name
from nnx.sklearn.stochastic import Optimizer, Samples, samples_of

# "adaptive" ends training instead of lowering a rate of at most this.
LEAST_RATE = 1e-6
NOT_CONVERGED = (
    "Stochastic Optimizer: Maximum iterations ({}) reached and the optimization hasn't "
    "converged yet."
)


def fit(
    model: Any,
    place: Place,
    data: tuple[Any, Array, Array | None],
    random: Any,
    *,
    continued: bool,
) -> None:
    """Train a model and set its attributes.

    data: features, targets and weights, including any validation set
    continued: whether this is one epoch of `partial_fit`
    """
    train, validation = _parts(model, place, data, random)
    hyper = model._hyper(train.size)
    if hyper.dropout > 0.0 or hyper.input_dropout > 0.0:
        hyper = hyper._replace(seed=int(random.randint(2**31)))
    dtype = dtype_name(data[0])
    optimizer = _started(model, place, hyper, dtype, continued)
    order, best = np.arange(train.size), None
    warning: Warning | None = None
    model.n_iter_ = 0
    try:
        while model.n_iter_ < (1 if continued else model.max_iter):
            if model.shuffle:
                drawn = random.permutation(train.size)
                if hyper.batch_size < train.size:  # a single batch needs no shuffling
                    order = order[drawn]
            optimizer, loss, penalty = stochastic.epoch(
                optimizer, train, order, hyper, float(model.alpha), place.backend
            )
            _record(model, reported(model, loss) + penalty, train.size)
            if validation and _is_best(
                model, optimizer.state, validation, hyper, place
            ):
                best = optimizer.state
            optimizer, stops = _after(model, optimizer)
            if stops:
                break
        else:
            if not continued:
                warning = ConvergenceWarning(NOT_CONVERGED.format(model.max_iter))
    except KeyboardInterrupt:
        warning = UserWarning("Training interrupted by user.")
    _finish(model, place, optimizer, best, dtype)
    if warning:  # last: the user's filter may make it an error
        warnings.warn(warning, stacklevel=4)


def _parts(
    model: Any, place: Place, data: tuple[Any, Array, Array | None], random: Any
) -> tuple[Samples, Samples | None]:
    """Return the samples to train on, and the validation set or None."""
    x, targets, weights = data
    dtype, n = dtype_name(x), x.shape[0]
    if not model.early_stopping:
        return samples_of(place, x, targets, weights, dtype), None
    # As in scikit-learn, the split is stratified for two classes only.
    binary = targets.ndim == 2 and targets.shape[1] == 1 and is_classifier(model)
    kept, aside = train_test_split(
        np.arange(n),
        random_state=random,
        test_size=model.validation_fraction,
        stratify=targets > 0.5 if binary else None,
    )
    if len(aside) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the "
            "size of your dataset."
        )
    train, validation = (
        samples_of(
            place,
            _rows(place, x, rows),
            targets[rows],
            None if weights is None else weights[rows],
            dtype,
        )
        for rows in (kept, aside)
    )
    return train, validation


def _rows(place: Place, x: Any, rows: Array) -> Any:
    """Return these rows of a user's features, on the same device."""
    if place.xp is np:
        return x[rows]
    return place.xp.take(x, place.inward(rows), axis=0)


def _started(
    model: Any, place: Place, hyper: Hyperparameters, dtype: str, continued: bool
) -> Optimizer:
    """Return the optimizer from which training starts or continues.

    Training continues from the model's public attributes. Batch normalization and a
    moving average have further state, which is kept. Only `partial_fit` keeps the
    optimizer's own state.
    """
    begun = stochastic.begun(model._layers(place, dtype), hyper, place.backend)
    known: Optimizer | None = vars(model).get("_optimizer")
    if known is None:
        return begun
    state, new = moved(known.state, place.inward), begun.state
    alike = list(map(type, state.layers)) == list(map(type, new.layers))
    if alike and (hyper.batch_norm or hyper.ema_decay > 0.0):
        ema = state.ema if state.ema and new.ema else new.ema
        stats = state.running_stats
        new = new._replace(layers=state.layers, running_stats=stats, ema=ema)
    memory = state.optimizer_state
    if not continued or not alike or len(memory) != len(new.optimizer_state):
        return begun._replace(state=new)
    new = new._replace(step=state.step, optimizer_state=memory)
    if model.solver == "adam":  # its moments do not depend on the rate
        return begun._replace(state=new)
    follows = model.learning_rate != "constant"
    rate = known.learning_rate if follows else begun.learning_rate
    return Optimizer(known.learning_rate, new).with_rate(rate)


def _record(model: Any, loss: float, samples: int) -> None:
    """Record an epoch's loss in the model's attributes, without validation."""
    model.n_iter_ += 1
    model.loss_ = loss
    model.t_ += samples
    model.loss_curve_.append(loss)
    if model.verbose:
        print(f"Iteration {model.n_iter_}, loss = {loss:.8f}")
    if not model.early_stopping:
        worse = loss > model.best_loss_ - model.tol
        model._no_improvement_count = model._no_improvement_count + 1 if worse else 0
        model.best_loss_ = min(model.best_loss_, loss)


def _is_best(
    model: Any, state: State, validation: Samples, hyper: Hyperparameters, place: Place
) -> bool:
    """Record the validation loss and score; return whether this epoch is the best."""
    layers = inference_layers(state, xp=place.backend.xp)
    loss, score = stochastic.validated(layers, validation, hyper, place.backend)
    model.validation_loss_curve_.append(reported(model, loss))
    model.validation_scores_.append(score)
    if model.verbose:
        print(f"Validation score: {score:f}")
    worse = score < model.best_validation_score_ + model.tol
    model._no_improvement_count = model._no_improvement_count + 1 if worse else 0
    if not score > model.best_validation_score_:
        return False
    model.best_validation_score_ = score
    return True


def reported(model: Any, loss: float) -> float:
    """Return a mean loss as models report it: errors are per output, not summed."""
    is_error = model._task()[0] in ("squared_error", "huber")
    return loss / model.n_outputs_ if is_error else loss


def _after(model: Any, optimizer: Optimizer) -> tuple[Optimizer, bool]:
    """Return the optimizer with its next rate, and whether training is over."""
    sgd, rate = model.solver == "sgd", optimizer.learning_rate
    if sgd and model.learning_rate == "invscaling":
        rate = float(model.learning_rate_init) / (model.t_ + 1) ** model.power_t
        optimizer = optimizer.with_rate(rate)
    if math.isnan(model.loss_):
        return optimizer, True
    if model._no_improvement_count <= model.n_iter_no_change:
        return optimizer, False
    what = "Validation score" if model.early_stopping else "Training loss"
    said = (
        f"{what} did not improve more than tol={model.tol:f} for "
        f"{model.n_iter_no_change} consecutive epochs."
    )
    adaptive = sgd and model.learning_rate == "adaptive" and rate > LEAST_RATE
    if adaptive:
        model._no_improvement_count = 0
        optimizer = optimizer.with_rate(rate / 5.0)
    if model.verbose:
        then = f"Setting learning rate to {optimizer.learning_rate:f}"
        print(said, then if adaptive else "Stopping.")
    return optimizer, not adaptive


def _finish(
    model: Any, place: Place, optimizer: Optimizer, best: State | None, dtype: str
) -> None:
    """Set the public layers: with validation, those of the best epoch."""
    state = optimizer.state
    if best is not None:
        state = state._replace(
            layers=best.layers, running_stats=best.running_stats, ema=best.ema
        )
    if best is not None or not model.early_stopping:
        model._keep(inference_layers(state, xp=place.backend.xp), place, dtype)
    model._optimizer = optimizer._replace(state=moved(state, place.outward))
