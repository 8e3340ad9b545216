"""Other libraries' names are accepted or explained; NumPy's numbers are numbers."""

import numpy as np
import pytest

import nnx
from nnx.data.dataset import Dataset
from nnx.errors import LONGEST, InputError
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.initializers import INITIALIZERS
from nnx.settings import ROWS, as_text, complete, other_names
from nnx.settings.table import OPTIMIZERS
from nnx.settings.values import AUTOMATIC

SAME = [
    ("activation", other_names.ACTIVATIONS, ACTIVATIONS),
    ("init", other_names.INITIALIZERS, INITIALIZERS),
    ("optimizer", other_names.OPTIMIZERS, OPTIMIZERS),
]


@pytest.mark.parametrize(("setting", "others", "own"), SAME)
def test_another_name_for_the_same_is_taken_and_written_as_ours(
    setting: str, others: dict[str, str], own: object
) -> None:
    for other, meant in others.items():
        settings = complete({setting: other})
        assert settings == complete({setting: meant})
        assert as_text(settings)[setting] == meant
        assert meant in own
        assert other not in own


def test_an_activation_under_another_name_is_the_same_network() -> None:
    for other, meant in other_names.ACTIVATIONS.items():
        network = nnx.Network([4, 3, 3, 2], [other, "tanh"], init="xavier,kaiming,he")
        assert network.activation == (meant, "tanh", "identity")
    ours = nnx.Network([4, 3, 3, 2], [meant, "tanh"], init="glorot,he,he")
    for theirs, own in zip(network.layers, ours.layers, strict=True):
        assert (theirs.weight == own.weight).all()


@pytest.mark.parametrize(
    ("setting", "name", "meant"),
    [
        ("activation", "ReLU", "relu"),
        ("activation", "LeakyReLU", "leaky_relu"),
        ("activation", "relu,Tanh", "tanh"),
        ("activation", "gelu2", "gelu"),
        (
            "activation",
            "relu,softmax",
            "those of hidden layers alone, as the outputs' softmax is built in",
        ),
        ("init", "kaiming_uniform", "he"),
        ("init", "Xavier", "glorot"),
        ("optimizer", "Adam", "adam"),
        ("optimizer", "AdamW", "adam"),
        ("optimizer", "SGD", "sgd"),
        ("optimizer", "momentum", "sgd with momentum 0.9"),
        ("optimizer", "nag", "nesterov, Nesterov's accelerated gradient"),
        ("dtype", "float", "float64"),
    ],
)
def test_a_name_that_is_nearly_right_is_told(
    setting: str, name: str, meant: str
) -> None:
    said = rf"^{setting} must be one of .*, not '{name}': did you mean {meant}\?$"
    with pytest.raises(InputError, match=said):
        complete({setting: name})


@pytest.mark.parametrize("setting", ["activation", "init", "precision"])
def test_an_optimizer_is_suggested_for_no_other_setting(setting: str) -> None:
    with pytest.raises(InputError, match="not 'momentum'$"):
        complete({setting: "momentum"})


def test_settings_under_the_names_of_others_are_told_for_settings_there_are() -> None:
    assert set(other_names.ALSO_CALLED.values()) <= {*ROWS, *other_names.OPTIONS}
    assert not set(other_names.ALSO_CALLED) & set(ROWS)
    assert set(other_names.OPTIMIZERS.values()) <= set(AUTOMATIC)


NUMBERS = {
    "epochs": (np.int32(3), 3),
    "batch_size": (np.array(16), 16),
    "learning_rate": (np.float32(0.5), 0.5),
    "dropout": (np.float16(0.25), 0.25),
    "batch_norm": (np.True_, True),
    "optimizer": (np.str_("adam"), "adam"),
    "seed": (np.uint64(2**62), 2**62),
    "hidden": ([np.int64(9), 8], (9, 8)),
    "class_weights": (np.array([1.0, 2.0], np.float32), (1.0, 2.0)),
    "activation": (np.array(["relu", "tanh"]), ("relu", "tanh")),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numpy_s_numbers_and_arrays(name: str) -> None:
    given, meant = NUMBERS[name]
    read = complete({name: given})[name]
    assert read == meant
    assert type(read) is type(meant)
    parts, own = (value if isinstance(value, tuple) else () for value in (read, meant))
    assert list(map(type, parts)) == list(map(type, own))


def test_numpy_s_numbers_make_a_network_and_train_it(data: Dataset) -> None:
    ours = nnx.Network([25, 7, 3], seed=3)
    for sizes in (np.array([25, 7, 3]), [np.int64(25), 7, np.uint8(3)], (25, 7, 3)):
        network = nnx.Network(sizes, seed=np.int16(3))
        assert network.sizes == (25, 7, 3)
        assert (network.layers[0].weight == ours.layers[0].weight).all()
    weights = {"class_weights": np.array([1, 2, 1]), "learning_rate": np.float32(0.5)}
    theirs = nnx.train(ours, data, epochs=np.int64(1), backend="numpy", **weights)
    own = {"class_weights": (1, 2, 1), "learning_rate": 0.5}
    result = nnx.train(ours, data, epochs=1, backend="numpy", **own)
    assert theirs.train_loss == result.train_loss


@pytest.mark.parametrize(
    "value",
    [np.zeros(10**4), [0] * 10**4, "x" * 10**4, 10**5000, "a\nb"],
    ids=("array", "list", "text", "integer", "lines"),
)
def test_what_is_refused_is_told_in_one_short_line(value: object) -> None:
    for make in (
        lambda: complete({"hidden": value}),
        lambda: complete({"class_weights": value}),
        lambda: nnx.Network(value),
    ):
        with pytest.raises(InputError) as refused:
            make()
        assert "\n" not in str(refused.value)
        assert len(str(refused.value)) < LONGEST + 150
