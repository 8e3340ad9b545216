"""The classifier and the regressor."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
    unique_labels,
)

from nnx.maths.activations import sigmoid
from nnx.maths.arrays import Array
from nnx.maths.losses import LOSSES, softmax
from nnx.sklearn.base import Perceptron
from nnx.sklearn.class_weights import sample_weights
from nnx.sklearn.parameters import CONSTRAINTS, is_stochastic, number, store
from nnx.sklearn.places import Place, to_host


class MLPClassifier(ClassifierMixin, Perceptron):
    """A multi-layer perceptron for classes, or for several labels per sample.

    The parameters from `hidden_layer_sizes` to `max_fun` are scikit-learn's: see its
    documentation. `activation` may also be "leaky_relu", "elu", "softplus", "silu" or
    "gelu". Additional parameters:

    dropout, input_dropout: share of hidden units, and of features, left out at random
    batch_norm: whether hidden layers are normalized over the batch
    label_smoothing: share of a target that is spread over all classes
    class_weight: a dictionary, "balanced" or None, as in scikit-learn's classifiers
    weight_decay: share of the weights, times the learning rate, that a step subtracts
    clip_norm, max_norm: bounds on the norms of the gradient and of each unit's weights;
        0: no bound
    ema_decay: of the moving average of the weights, used to predict; 0: no average
    backend, device: as for `nnx.find`; with scikit-learn's array API dispatch, arrays
        of another library stay on their device

    Attributes are scikit-learn's, and `validation_loss_curve_` with early stopping.
    """

    _parameter_constraints = CONSTRAINTS | {
        "label_smoothing": [number(0, 1)],
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        batch_norm: bool = False,
        label_smoothing: float = 0.0,
        class_weight: Mapping[Any, float] | str | None = None,
        weight_decay: float = 0.0,
        clip_norm: float = 0.0,
        max_norm: float = 0.0,
        ema_decay: float = 0.0,
        backend: str = "auto",
        device: str | int | None = None,
    ) -> None:
        store(self, locals())

    @available_if(is_stochastic)
    def partial_fit(
        self,
        X: Any,  # noqa: N803
        y: Any,
        sample_weight: Any = None,
        classes: Any = None,
    ) -> Self:
        """Train for one epoch on this data, keeping the optimizer's state.

        classes: all classes that will ever occur; needed in the first call

        Other arguments and errors as for `fit`.
        """
        if self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' is not supported for partial_fit: give a "
                "dictionary"
            )
        _check_partial_fit_first_call(self, classes)
        return self._fit(X, y, sample_weight, continued=True)

    def predict(self, X: Any) -> Array:  # noqa: N803
        """Return the most probable class of each row, (n,).

        With several labels, return 1 for each with a probability above 0.5 and 0 for
        the others, (n, labels); sparse if the training labels were.

        X: (n, n_features)

        Raises:
            NotFittedError: the estimator has not been fitted
            ValueError: X has other features than in fitting, or is not finite
        """
        logits, place = self._logits(X, "predict")
        xp = place.backend.xp
        if self.out_activation_ == "softmax":
            index = xp.argmax(logits, axis=1)
        elif self.n_outputs_ > 1:
            labels = place.outward(xp.astype(logits > 0.0, xp.int64))
            return csr_matrix(to_host(labels)) if self._y_sparse else labels
        else:  # a single class is always predicted
            index = xp.astype(logits[:, 0] > 0.0, xp.int64) * (len(self.classes_) - 1)
        if self.classes_.dtype.kind in "biuf":
            return place.outward(xp.take(place.inward(self.classes_), index))
        return self.classes_[place.backend.to_numpy(index)]

    def predict_proba(self, X: Any) -> Array:  # noqa: N803
        """Return each class's or label's probability, (n, classes); see `predict`."""
        probabilities, place = self._probabilities(X, "predict_proba")
        return place.outward(probabilities)

    def predict_log_proba(self, X: Any) -> Array:  # noqa: N803
        """Return the logarithm of each probability, (n, classes); see `predict`."""
        probabilities, place = self._probabilities(X, "predict_log_proba")
        with np.errstate(divide="ignore"):  # probabilities rounded to 0 give -inf
            return place.outward(place.backend.xp.log(probabilities))

    def _probabilities(self, x: Any, method: str) -> tuple[Array, Place]:
        logits, place = self._logits(x, method)
        xp = place.backend.xp
        if self.out_activation_ == "softmax":
            return softmax(logits, xp=xp), place
        if self.n_outputs_ == 1:  # two classes: a probability for each
            logits = xp.concat([-logits, logits], axis=1)
        columns = max(self.n_outputs_, len(self.classes_))
        return sigmoid(logits, xp=xp)[:, :columns], place

    def _task(self) -> tuple[str, str]:
        if self.out_activation_ == "softmax":
            return "cross_entropy", "softmax"
        return "binary_cross_entropy", "logistic"

    def _encode(
        self, y: Array, first: bool, continued: bool
    ) -> tuple[Array, Array | None]:
        """Return class numbers, or 0 and 1 per output; and each sample's weight."""
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            raise ValueError(
                "y has several columns of classes: each must be 0 or 1, a label"
            )
        several = kind == "multilabel-indicator"
        y = y if several else column_or_1d(y, warn=True)
        self._know_classes(y, several, continued)
        if first:
            many = not several and len(self.classes_) > 2
            self.out_activation_ = "softmax" if many else "logistic"
        weights = None
        if self.class_weight is not None:
            known = self.classes_ if continued else None
            weights = sample_weights(self.class_weight, y, known)
        if several:
            return self._smooth(np.asarray(y, np.float64)), weights
        index = np.searchsorted(self.classes_, y)
        if self.out_activation_ == "softmax":
            return index, weights
        return self._smooth(np.where(index > 0, 1.0, 0.0)[:, None]), weights

    def _smooth(self, targets: Array) -> Array:
        share = float(self.label_smoothing)
        return (1.0 - share) * targets + share / 2 if share else targets

    def _know_classes(self, y: Array, several: bool, continued: bool) -> None:
        """Set the classes, or refuse classes other than the known ones."""
        classes = np.arange(y.shape[1]) if several else unique_labels(y)
        if not hasattr(self, "classes_") or not (self.warm_start or continued):
            self.classes_ = classes
        elif self.warm_start and set(classes) != set(self.classes_):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the "
                f"previous call to fit. Previously got {self.classes_}, `y` has "
                f"{classes}"
            )
        elif len(np.setdiff1d(classes, self.classes_)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has "
                f"{self.classes_}. 'y' has {classes}."
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, Perceptron):
    """A multi-layer perceptron that predicts one or several numbers.

    Parameters are scikit-learn's, and those of `MLPClassifier` that are not about
    classes. `loss` is "squared_error", "poisson" or "huber", which is linear beyond a
    residual of `huber_delta`, in the target's unit.
    """

    _y_numeric = True
    _parameter_constraints = CONSTRAINTS | {
        "loss": [StrOptions({"squared_error", "poisson", "huber"})],
        "huber_delta": [number(0, closed="neither")],
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        huber_delta: float = 1.0,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        batch_norm: bool = False,
        weight_decay: float = 0.0,
        clip_norm: float = 0.0,
        max_norm: float = 0.0,
        ema_decay: float = 0.0,
        backend: str = "auto",
        device: str | int | None = None,
    ) -> None:
        store(self, locals())

    def predict(self, X: Any) -> Array:  # noqa: N803
        """Return the values of each row, (n,), or (n, n_outputs) if there are several.

        X and errors as for `MLPClassifier.predict`.
        """
        logits, place = self._logits(X, "predict")
        values = LOSSES[self.loss].outputs(logits, xp=place.backend.xp)
        return place.outward(values[:, 0] if self.n_outputs_ == 1 else values)

    def _task(self) -> tuple[str, str]:
        return self.loss, "exp" if self.loss == "poisson" else "identity"

    def _encode(
        self, y: Array, first: bool, continued: bool
    ) -> tuple[Array, Array | None]:
        """Return the values, (n, outputs)."""
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        y = np.asarray(y, np.float64)
        if self.loss == "poisson" and (y < 0.0).any():
            raise ValueError("loss='poisson' needs targets of 0 or more")
        if first:
            self.out_activation_ = self._task()[1]
        return y.reshape(len(y), -1), None
