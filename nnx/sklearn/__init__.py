"""Multi-layer perceptrons with scikit-learn's parameters, and additional ones.

`MLPClassifier` and `MLPRegressor` replace scikit-learn's: only the import changes. They
are imported on first use and need scikit-learn, which is an extra of this package.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nnx.sklearn.estimators import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]


if not TYPE_CHECKING:  # or type checkers would accept any name in this module

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'nnx.sklearn' has no attribute {name!r}")
        try:
            import sklearn.utils.validation  # noqa: F401
        except ImportError:
            raise ImportError(
                "nnx.sklearn needs scikit-learn: pip install 'nnx-mlp[sklearn]'"
            ) from None
        from nnx.sklearn import estimators

        value = getattr(estimators, name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
