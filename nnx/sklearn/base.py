"""The base class of both estimators: checks, fitting, and the network's outputs."""

import warnings
from itertools import pairwise
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._array_api import (
    check_same_namespace,
    get_namespace_and_device,
    move_to,
)
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from nnx import blas
from nnx.automatic import seconds_of
from nnx.maths import evaluation
from nnx.maths.arrays import Array
from nnx.maths.hyperparameters import Hyperparameters
from nnx.maths.state import Layer, Layers
from nnx.sklearn import epochs, lbfgs
from nnx.sklearn.parameters import ACTIVATION_NAMES, STOCHASTIC_ONLY, is_stochastic
from nnx.sklearn.places import (
    Place,
    best_dtype,
    dense,
    dtype_name,
    float_dtypes,
    place_of,
    to_host,
)
from nnx.sklearn.stochastic import samples_of


class Perceptron(BaseEstimator):
    """Fits and applies a network; subclasses handle the targets.

    A subclass has `_encode(y, first, continued)`, which returns the targets for the
    loss, on the host, and the class weight of each sample, or None. Its `_task` returns
    the names of the loss and of the activation of the outputs.
    """

    _y_numeric = _y_sparse = False
    label_smoothing, huber_delta = 0.0, 1.0  # for subclasses without these parameters

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Fit the network; with `warm_start`, start from the weights of the last fit.

        X: (n, n_features), an array, a data frame, or sparse, which is made dense
        y: (n,) or (n, n_outputs)
        sample_weight: (n,), each sample's weight in the loss and in scores, 0 or more;
            None: 1 each

        Raises:
            ValueError: parameters or data are invalid; the network's weights are no
                longer finite
            NnxError: the backend cannot be used
        """
        return self._fit(X, y, sample_weight, continued=False)

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train for one epoch on this data, keeping the optimizer's state.

        Arguments and errors as for `fit`.
        """
        return self._fit(X, y, sample_weight, continued=True)

    def _fit(self, x: Any, y: Any, sample_weight: Any, *, continued: bool) -> Self:
        """Fit the network; if continued, train one epoch from the last state."""
        self._validate_params()
        sizes = self._hidden_sizes()
        self._check_solver(continued)
        first = not hasattr(self, "coefs_") or not (self.warm_start or continued)
        x, y, weights = self._checked(x, y, sample_weight, first)
        targets, of_classes = self._encode(y, first, continued)
        if of_classes is not None:
            weights = of_classes if weights is None else weights * of_classes
        self.n_outputs_ = targets.shape[1] if targets.ndim == 2 else len(self.classes_)
        random = check_random_state(self.random_state)
        sizes = [x.shape[1], *sizes, self.n_outputs_]
        if first:
            self._begin(sizes, dtype_name(x), random)
        place = self._place(x, sizes, 1 if continued else self.max_iter)
        product = self._batch_size(x.shape[0]) * max(a * b for a, b in pairwise(sizes))
        with place.backend.scope(), blas.threads_for(product):
            if self.solver == "lbfgs":
                self._fit_lbfgs(place, x, targets, weights)
            else:
                data = x, targets, weights
                epochs.fit(self, place, data, random, continued=continued)
        if not all(
            np.isfinite(to_host(a)).all() for a in self.coefs_ + self.intercepts_
        ):
            raise ValueError(
                "Solver produced non-finite parameter weights. The input data may "
                "contain large values and need to be preprocessed."
            )
        return self

    def _hidden_sizes(self) -> list[int]:
        sizes = np.atleast_1d(np.asarray(self.hidden_layer_sizes))
        if sizes.ndim != 1 or (sizes.size and sizes.dtype.kind not in "iu"):
            raise ValueError(
                "hidden_layer_sizes must be whole numbers, one for each hidden layer, "
                f"got {self.hidden_layer_sizes}."
            )
        if (sizes <= 0).any():
            raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes.tolist()}.")
        return [int(size) for size in sizes]

    def _check_solver(self, continued: bool) -> None:
        if continued and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        used = [name for name in STOCHASTIC_ONLY if getattr(self, name)]
        if self.solver == "lbfgs" and used:
            raise ValueError(
                f"solver='lbfgs' has no {used[0]}: use solver='adam' or 'sgd'"
            )
        if self.batch_norm and self.batch_size == 1:
            raise ValueError("batch_norm=True needs a batch_size of 2 or more, got 1.")

    def _checked(
        self, x: Any, y: Any, sample_weight: Any, first: bool
    ) -> tuple[Any, Array, Array | None]:
        """Return checked features on their device, targets and weights on the host."""
        xp, _, device = get_namespace_and_device(x)
        x, y = validate_data(
            self,
            x,
            y,
            accept_sparse=("csr", "csc"),
            multi_output=True,
            y_numeric=self._y_numeric,
            dtype=float_dtypes(x),
            order="C",
            reset=first,
        )
        if sample_weight is not None:
            moved = move_to(sample_weight, xp=xp, device=device)
            checked = _check_sample_weight(moved, x, ensure_non_negative=True)
            sample_weight = to_host(checked)
        y = to_host(y)
        self._y_sparse = hasattr(y, "toarray")
        return dense(x), y.toarray() if self._y_sparse else y, sample_weight

    def _begin(self, sizes: list[int], dtype: str, random: Any) -> None:
        """Draw uniform weights, as in Glorot and Bengio (2010) and scikit-learn."""
        self.n_layers_, self.n_iter_, self.t_ = len(sizes), 0, 0
        factor = 2.0 if self.activation in ("logistic", "sigmoid") else 6.0
        self.coefs_: list[Any] = []
        self.intercepts_: list[Any] = []
        for before, after in pairwise(sizes):
            bound = np.sqrt(factor / (before + after))
            for drawn, shape in (
                (self.coefs_, (before, after)),
                (self.intercepts_, after),
            ):
                drawn.append(random.uniform(-bound, bound, shape).astype(dtype))
        self._optimizer: Any = None
        if self.solver != "lbfgs":
            early = self.early_stopping
            self._no_improvement_count = 0
            self.loss_curve_: list[float] = []
            self.best_loss_ = None if early else np.inf
            self.validation_scores_: list[float] | None = [] if early else None
            self.validation_loss_curve_: list[float] | None = [] if early else None
            self.best_validation_score_ = -np.inf if early else None

    def _place(self, x: Any, sizes: list[int], epochs: int) -> Place:
        """Return the place of the features, with a backend suited to the work."""
        n = x.shape[0]
        parameters = sum((a + 1) * b for a, b in pairwise(sizes))
        steps = -(-n // self._batch_size(n))
        seconds = epochs * seconds_of(steps, n, parameters)
        return place_of(x, self.backend, self.device, seconds)

    def _batch_size(self, n: int) -> int:
        return min(200 if self.batch_size == "auto" else self.batch_size, n)

    def _hyper(self, n: int) -> Hyperparameters:
        """Return the hyperparameters for n samples, whose features are not scaled."""
        adam = self.solver == "adam"
        optimizer = "adam"
        if not adam:
            moving = "nesterov" if self.nesterovs_momentum else "momentum"
            optimizer = moving if self.momentum > 0.0 else "sgd"
        own = {name: getattr(self, name) for name in STOCHASTIC_ONLY}
        return Hyperparameters(
            activations=self._activations(),
            pixel_scale=1.0,
            batch_size=self._batch_size(n),
            loss=self._task()[0],
            huber_delta=float(self.huber_delta),
            label_smoothing=float(self.label_smoothing),
            optimizer=optimizer,
            learning_rate=float(self.learning_rate_init),
            momentum=float(self.beta_1 if adam else self.momentum),
            beta2=float(self.beta_2),
            epsilon=float(self.epsilon),
            early_epsilon=True,
            **own,
        )

    def _activations(self) -> tuple[str, ...]:
        name = str(self.activation)
        hidden = ACTIVATION_NAMES.get(name, name)
        return (hidden,) * (len(self.coefs_) - 1) + ("identity",)

    def _layers(self, place: Place, dtype: str) -> Layers:
        """Return the layers on the backend's device."""
        pairs = zip(self.coefs_, self.intercepts_, strict=True)
        return [
            Layer(*(place.inward(array, dtype) for array in pair)) for pair in pairs
        ]

    def _keep(self, layers: Layers, place: Place, dtype: str) -> None:
        """Set the public attributes `coefs_` and `intercepts_`."""
        self.coefs_ = [place.outward(layer.weight, dtype) for layer in layers]
        self.intercepts_ = [place.outward(layer.bias, dtype) for layer in layers]

    def _fit_lbfgs(
        self, place: Place, x: Any, targets: Array, weights: Array | None
    ) -> None:
        """Minimize in the highest precision available; keep the features' dtype."""
        dtype = best_dtype(x)
        samples = samples_of(place, x, targets, weights, dtype)
        layers, found, penalty = lbfgs.minimized(
            self._layers(place, dtype),
            samples,
            self._hyper(samples.size),
            float(self.alpha),
            place.backend,
            maxfun=self.max_fun,
            maxiter=self.max_iter,
            gtol=self.tol,
        )
        self.n_iter_ = min(found.nit, self.max_iter)
        self.loss_ = epochs.reported(self, float(found.fun) - penalty) + penalty
        if self.verbose:
            print(f"{found.nit} iterations, loss = {self.loss_:.8f}: {found.message}")
        self._keep(layers, place, dtype_name(x))
        if found.status != 0:  # last: the user's filter may make it an error
            warnings.warn(
                f"lbfgs failed to converge after {self.n_iter_} iteration(s) "
                f"(status={found.status}): {found.message}. Increase max_iter or "
                "max_fun, or scale the features.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _logits(self, x: Any, method: str) -> tuple[Array, Place]:
        """Return the last layer's outputs for features, and their place."""
        check_is_fitted(self)
        check_same_namespace(x, self, attribute="_first_weight", method=method)
        x = validate_data(
            self,
            x,
            accept_sparse=("csr", "csc"),
            dtype=float_dtypes(x),
            order="C",
            reset=False,
        )
        x = dense(x)
        place = place_of(x, self.backend, self.device, seconds=0.0)
        layers = self._layers(place, dtype_name(self.coefs_[0]))
        with place.backend.scope():
            features, activations = place.inward(x), self._activations()
            how = activations, 1.0, place.backend.ops
            return evaluation.logits(layers, features, *how), place

    @property
    def _first_weight(self) -> Any:
        return self.coefs_[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = tags.array_api_support = True
        return tags
