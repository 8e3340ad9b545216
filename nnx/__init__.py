"""Fully-connected networks for digits, whose mathematics is written once.

>>> import nnx
>>> data = nnx.load("digits")
>>> network = nnx.Network([64, 128, 10], activation="relu", seed=0)
>>> result = nnx.train(network, data, epochs=20, learning_rate=0.1)
>>> result.test_accuracy > 0.95
True
"""

# The same as typing.TYPE_CHECKING. Importing typing would lengthen the time before the
# command handles signals; until then, Python answers one with a traceback.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from nnx import export, plots, sklearn
    from nnx.backend import Backend, find
    from nnx.backend import names as backends
    from nnx.communicator import find as processes
    from nnx.data.dataset import Dataset, Frame, Split
    from nnx.data.from_memory import dataset
    from nnx.data.load import load
    from nnx.data.picture import read as read_picture
    from nnx.errors import NnxError
    from nnx.export.from_pytorch import from_pytorch
    from nnx.export.from_sklearn import from_sklearn
    from nnx.installation import info
    from nnx.likeness import doubt
    from nnx.network import Network
    from nnx.settings import Settings, TrainingSettings
    from nnx.training.evaluate import Evaluation, evaluate
    from nnx.training.plan import Progress
    from nnx.training.result import Result
    from nnx.training.train import train
    from nnx.verify.gradcheck import gradcheck
    from nnx.verify.parity import parity

__version__ = "0.1.0"

# The module of each public name. A module is imported when its name is first used, so
# `nnx --help` loads neither NumPy nor anything heavier.
_HOMES = {
    "Backend": "nnx.backend",
    "Dataset": "nnx.data.dataset",
    "Evaluation": "nnx.training.evaluate",
    "Frame": "nnx.data.dataset",
    "Network": "nnx.network",
    "NnxError": "nnx.errors",
    "Progress": "nnx.training.plan",
    "Result": "nnx.training.result",
    "Settings": "nnx.settings",
    "Split": "nnx.data.dataset",
    "TrainingSettings": "nnx.settings",
    "backends": "nnx.backend:names",
    "dataset": "nnx.data.from_memory",
    "doubt": "nnx.likeness",
    "evaluate": "nnx.training.evaluate",
    "export": "nnx.export",
    "find": "nnx.backend",
    "from_pytorch": "nnx.export.from_pytorch",
    "from_sklearn": "nnx.export.from_sklearn",
    "gradcheck": "nnx.verify.gradcheck",
    "info": "nnx.installation",
    "load": "nnx.data.load",
    "parity": "nnx.verify.parity",
    "plots": "nnx.plots",
    "processes": "nnx.communicator:find",
    "read_picture": "nnx.data.picture:read",
    "sklearn": "nnx.sklearn",
    "train": "nnx.training.train",
}
__all__ = [
    "Backend",
    "Dataset",
    "Evaluation",
    "Frame",
    "Network",
    "NnxError",
    "Progress",
    "Result",
    "Settings",
    "Split",
    "TrainingSettings",
    "__version__",
    "backends",
    "dataset",
    "doubt",
    "evaluate",
    "export",
    "find",
    "from_pytorch",
    "from_sklearn",
    "gradcheck",
    "info",
    "load",
    "parity",
    "plots",
    "processes",
    "read_picture",
    "sklearn",
    "train",
]


# If a type checker saw this function, it would accept any name as an attribute.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module 'nnx' has no attribute {name!r}")
        from importlib import import_module

        home, _, original = _HOMES[name].partition(":")
        module = import_module(home)
        value = module if home == f"nnx.{name}" else getattr(module, original or name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
