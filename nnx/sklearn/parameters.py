"""The constraints on the estimators' parameters, in scikit-learn's form."""

from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.utils._param_validation import Interval, Options, StrOptions

from nnx.maths.activations import ACTIVATIONS

# From scikit-learn's names of activations to those of the maths, where they differ.
ACTIVATION_NAMES = {"logistic": "sigmoid"}
# Parameters that L-BFGS cannot use: it minimizes a single function of all samples.
STOCHASTIC_ONLY = (
    "dropout", "input_dropout", "batch_norm", "weight_decay", "clip_norm", "max_norm",
    "ema_decay",
)  # fmt: skip
# The same bound as for the settings: the maths would round a rate closer to 1 up to 1.
MOST_DROPOUT = 0.99


def number(low: float, high: float | None = None, closed: str = "left") -> Interval:
    """Return the constraint on a numeric parameter."""
    return Interval(Real, low, high, closed=closed)


def _whole(low: int) -> Interval:
    return Interval(Integral, low, None, closed="left")


CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", _whole(1)],
    "activation": [StrOptions({*ACTIVATIONS, *ACTIVATION_NAMES})],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [number(0)],
    "batch_size": [StrOptions({"auto"}), _whole(1)],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
    "learning_rate_init": [number(0, closed="neither")],
    "power_t": [number(0)],
    "max_iter": [_whole(1)],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [number(0)],
    "verbose": ["verbose"],
    "warm_start": ["boolean"],
    "momentum": [number(0, 1, "both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [number(0, 1)],
    "beta_1": [number(0, 1)],
    "beta_2": [number(0, 1)],
    "epsilon": [number(0, closed="neither")],
    "n_iter_no_change": [_whole(1), Options(Real, {np.inf})],
    "max_fun": [_whole(1)],
    "dropout": [number(0, MOST_DROPOUT, "both")],
    "input_dropout": [number(0, MOST_DROPOUT, "both")],
    "batch_norm": ["boolean"],
    "weight_decay": [number(0)],
    "clip_norm": [number(0)],
    "max_norm": [number(0)],
    "ema_decay": [number(0, 1)],
    "backend": [str],
    "device": [str, Integral, None],
}


def store(estimator: Any, parameters: dict[str, Any]) -> None:
    """Store the arguments of an `__init__`, given as its `locals()`, as attributes."""
    own = ("self", "__class__")
    vars(estimator).update({k: v for k, v in parameters.items() if k not in own})


def is_stochastic(estimator: Any) -> bool:
    """Return True if there is a `partial_fit`; raise AttributeError for "lbfgs"."""
    if estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit is for the solvers sgd and adam: lbfgs takes no single steps"
        )
    return True
