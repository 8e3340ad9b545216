"""The network on the host: sizes, names, predictions."""

from pathlib import Path

import numpy as np
import pytest

import nnx
from nnx import Network
from nnx.backend import Backend
from nnx.data.dataset import Column, Frame, Target
from nnx.data.rows import Rows
from nnx.errors import InputError
from nnx.maths.activations import ACTIVATIONS
from nnx.maths.state import Layer


def test_sizes_parameters_and_name() -> None:
    network = Network([784, 128, 10])
    assert network.sizes == (784, 128, 10)
    assert network.parameters == 784 * 128 + 128 + 128 * 10 + 10
    assert repr(network) == "Network(784-128-10)"
    assert [layer.weight.dtype.name for layer in network.layers] == ["float32"] * 2


@pytest.mark.parametrize(
    ("sizes", "options", "words"),
    [
        ([5], {}, "and classes"),
        ([5, 0, 3], {}, "widths"),
        ([5, 2.5, 3], {}, "widths"),
        ([5, 10**6, 3], {}, "hidden must be widths .* from 1 to 100000"),
        (64, {}, r"sizes must be .* \[784, 128, 10\], not 64"),
        (None, {}, "sizes must be"),
        ([64, "10"], {}, "sizes must be"),
        ([5, 3], {"activation": "swash"}, "activation must be one of"),
        ([5, 3], {"init": "normal:-1"}, "σ > 0"),
        ([5, 3], {"init": "normal"}, "σ > 0"),
        ([5, 3], {"dtype": "float16"}, "float32, float64"),
        ([5, 3], {"seed": -1}, "seed must be"),
        ([5, 3], {"seed": True}, "seed must be"),
    ],
)
def test_what_is_refused(sizes: list, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Network(sizes, **options)


def test_pictures_may_have_more_pixels_than_a_layer_units() -> None:
    assert Network([120_000, 2, 3]).sizes == (120_000, 2, 3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_auto_keeps_the_size_of_signals(activation: str) -> None:
    """After ten layers the outputs are neither gone nor exploding."""
    network = Network([64] * 11 + [10], activation, init="auto")
    x = np.random.default_rng(0).random((50, 64))
    chances = network.predict_proba(x)
    assert np.isfinite(chances).all()
    assert chances.max() < 1


def test_an_initializer_for_each_layer() -> None:
    network = Network([400, 300, 200, 3], "tanh", init="normal:0.5,auto,zeros")
    first, second, last = (layer.weight for layer in network.layers)
    assert first.std() == pytest.approx(0.5, rel=0.02)
    np.testing.assert_array_equal(
        second, Network([400, 300, 200, 3], "tanh").layers[1].weight
    )
    assert not last.any()
    with pytest.raises(InputError, match="init names 2 layers, 'he,he'; there are 3"):
        Network([400, 300, 200, 3], init="he,he")


def test_the_seed_decides_the_weights() -> None:
    a, b, c = (Network([6, 5, 3], seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a.layers[0].weight, b.layers[0].weight)
    assert (a.layers[0].weight != c.layers[0].weight).any()


def test_predictions_on_every_backend(backend: Backend) -> None:
    network = Network([25, 8, 3], "tanh", dtype="float64", seed=4)
    images = np.random.default_rng(0).integers(0, 256, (40, 5, 5)).astype(np.uint8)
    chances = network.predict_proba(images, backend=backend)
    assert chances.shape == (40, 3)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(chances, network.predict_proba(images), rtol=1e-12)
    labels = network.predict(images, backend=backend)
    np.testing.assert_array_equal(labels, chances.argmax(axis=1))
    assert labels.dtype == np.int64


def test_one_image_or_many_give_the_same() -> None:
    network = Network([25, 8, 3], dtype="float64")
    images = np.random.default_rng(0).random((2500, 25))
    whole = network.predict_proba(images)
    parts = [network.predict_proba(images[i : i + 1]) for i in (0, 1023, 1024, 2499)]
    np.testing.assert_allclose(np.concatenate(parts), whole[[0, 1023, 1024, 2499]])


def test_bytes_and_their_fractions_are_the_same_image() -> None:
    network = Network([25, 8, 3], dtype="float64")
    images = np.random.default_rng(0).integers(0, 256, (7, 25)).astype(np.uint8)
    np.testing.assert_allclose(
        network.predict_proba(images), network.predict_proba(images / 255), rtol=1e-12
    )


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((3, 24)), r"shape \(n, 25\), got \(3, 24\)"),
        (np.zeros(25), r"got \(25,\)"),
        (np.zeros((0, 25)), r"got \(0, 25\)"),
        (np.full((1, 25), np.nan), "finite"),
        ([["a"] * 25], "finite"),
    ],
)
def test_images_that_are_refused(images: object, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Network([25, 3]).predict(images)


def test_integers_are_pixels_as_in_training_and_may_be_objects() -> None:
    digits = nnx.load("digits")
    network = Network([64, 10]).replace(frame=digits.frame)
    images = digits.test.images[:4]
    wide = images.astype(np.int64)
    expected = network.predict(images)
    for same in wide, wide.astype(object), wide.tolist():
        np.testing.assert_array_equal(network.predict(same), expected)
    with pytest.raises(InputError, match="from 0 to 16, as in training, .* -16 to 0;"):
        network.predict(-wide)
    for bright in wide * 2, images * 2:
        with pytest.raises(InputError, match="from 0 to 16, .* are from 0 to 32;"):
            network.predict(bright)
    with pytest.raises(InputError, match="images must be finite numbers"):
        network.predict(np.full((1, 64), "a", object))


def test_read_only_and_strided_images() -> None:
    network = Network([25, 3])
    images = np.random.default_rng(0).integers(0, 256, (10, 25)).astype(np.uint8)
    expected = network.predict_proba(images)
    images.setflags(write=False)
    np.testing.assert_array_equal(network.predict_proba(images), expected)
    np.testing.assert_allclose(
        network.predict_proba(np.asfortranarray(images)), expected, rtol=1e-6
    )


def test_an_activation_for_each_layer() -> None:
    network = Network([4, 5, 6, 3], "relu,tanh", dtype="float64")
    assert network.activation == ("relu", "tanh", "identity")
    x = np.random.default_rng(0).random((7, 4))
    (a, _), (b, _), (c, _) = network.layers
    z = np.tanh(np.maximum(x @ a, 0) @ b) @ c
    chances = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(network.predict_proba(x), chances, rtol=1e-12)
    # Each layer's weights suit its own activation, the last one's the one before.
    he, glorot = Network([4, 5, 6, 3], "relu"), Network([4, 5, 6, 3], "tanh")
    for layer, other in enumerate((he, glorot, glorot)):
        np.testing.assert_allclose(
            network.layers[layer].weight, other.layers[layer].weight, rtol=1e-6
        )
    with pytest.raises(InputError, match="activation names 2 layers, .*; there are 1"):
        Network([4, 5, 3], "relu,tanh")


def test_activations_of_images_that_a_file_has(tmp_path: Path) -> None:
    """They are what `predict` takes, too."""
    rng = np.random.default_rng(0)
    table = np.zeros(90, [("label", "u1"), *((f"p{i}", "u1") for i in range(16))])
    for name in table.dtype.names or ():
        table[name] = rng.integers(0, 256, 90)
    table["label"] = np.arange(90) % 3
    np.save(tmp_path / "table.npy", table)
    images = nnx.load(tmp_path / "table.npy").test.images
    assert isinstance(images, Rows)
    network = Network([16, 5, 3])
    assert network.predict(images).shape == images.shape[:1]
    (found,), (expected,) = map(network.activations, (images, np.asarray(images)))
    np.testing.assert_array_equal(found, expected)


def test_activations_are_what_the_next_layer_takes() -> None:
    network = Network([25, 6, 4, 3], "tanh,relu", seed=1)
    images = np.random.default_rng(0).random((7, 5, 5)).astype(np.float32)
    first, second = network.activations(images)
    assert (first.shape, second.shape) == ((7, 6), (7, 4))
    x, (one, two, _) = images.reshape(7, 25), network.layers
    np.testing.assert_allclose(first, np.tanh(x @ one.weight + one.bias), rtol=1e-5)
    expected = np.maximum(first @ two.weight + two.bias, 0)
    np.testing.assert_allclose(second, expected, rtol=1e-5, atol=1e-6)
    assert Network([25, 3]).activations(images) == []
    with pytest.raises(InputError, match="25"):
        network.activations(np.zeros((2, 9)))


def test_a_table_s_own_values_are_no_features() -> None:
    """Scaled twice, or not at all, they would be answered all the same."""
    rng = np.random.default_rng(0)
    # The values of the second could be scaled ones as well.
    for mean, scale in ([30, 5, 400], [9, 2, 80]), ([0.5, 2, -1], [0.3, 1, 1]):
        x = rng.normal(mean, scale, (200, 3))
        data = nnx.dataset(x, np.arange(200) % 2, scale="standard")
        network = nnx.train(Network([3, 5, 2]), data, epochs=1).network
        features = network.features(x)
        for scaled in data.test.images, features, features[:1]:
            assert network.predict(scaled).shape == (len(scaled),)
        for raw in x, x[:1], x.tolist(), x.round().astype(int):
            with pytest.raises(InputError, match=r"stand there .*network\.features"):
                network.predict(raw)
        if mean[0] > 1:
            with pytest.raises(InputError, match=r"stand there .*network\.features"):
                network.predict(x.astype(np.float32))
    far = np.float32([[9.0, 0.0, 0.0]])  # of one column, and no row of the table's
    assert network.predict_proba(far).shape == (1, 2)


def test_text_in_an_array_is_no_features() -> None:
    pd = pytest.importorskip("pandas", reason="needs pandas")
    frame = pd.DataFrame({"a": np.arange(40.0), "b": ["x", "y", "z", "y"] * 10})
    data = nnx.dataset(frame, np.arange(40) % 2)
    network = nnx.train(Network([4, 5, 2]), data, epochs=1).network
    assert network.predict(frame).shape == (40,)
    with pytest.raises(InputError, match="stand there .*: give a data frame"):
        network.predict(frame.to_numpy())
    with pytest.raises(InputError, match=r"features of shape \(n, 4\), .* 2 columns$"):
        network.predict(np.zeros((3, 5)))
    with pytest.raises(
        InputError, match=r"columns, not 2; give one row as array\[None"
    ):
        network.features([3.0, 0.0])
    # As pandas.get_dummies makes them.
    dummies = np.column_stack((frame["a"], np.eye(3)[[0, 1, 2, 1] * 10]))
    for raw in dummies, dummies[:1].astype(int), dummies.astype(np.float32):
        with pytest.raises(InputError, match=r"stand there .*network\.features"):
            network.predict(raw)


def test_columns_that_are_not_scaled_take_any_values() -> None:
    x = np.random.default_rng(0).normal(100, 3, (50, 2))
    data = nnx.dataset(x, np.arange(50) % 2, scale="none")
    network = nnx.train(Network([2, 2]), data, epochs=1, learning_rate=1e-6).network
    assert network.predict(x).shape == (50,)


def _layer(*shape: int, dtype: str = "float32") -> Layer:
    return Layer(np.ones(shape, dtype), np.zeros(shape[-1:], dtype))


FIRST = _layer(4, 5)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"classes": ("a",)}, "contradicts itself: outputs: 3, names: 1"),
        ({"classes": ("a", "b", "a")}, "two classes of a network have the same name"),
        ({"classes": (1, 2, 3)}, "its classes are not texts"),
        ({"classes": "abc"}, "outputs: 3, names: 1"),
        ({"classes": None}, "not the attributes of a network"),
        ({"activation": "tanh"}, "layers: 2, activations: 1"),
        ({"activation": ("bad", "identity")}, "unknown activation 'bad'"),
        ({"activation": ("relu",)}, "layers: 2, activations: 1"),
        ({"activation": ("relu", "relu")}, "its last layer has the activation relu"),
        ({"activation": ([], "identity")}, "not the attributes of a network"),
        ({"pixels": "x"}, "its pixels are 'x', not unit or raw"),
        ({"task": "clustering"}, "its task is 'clustering', not classification or m"),
        ({"task": "regression"}, "a regression without targets"),
        ({"targets": (Target("y"),)}, "a classification with targets"),
        ({"columns": (Column("x"),)}, "features: 4, of its columns: 1"),
        ({"columns": (Column("x", 0, 0),) * 4}, "without a name, or a scale above 0"),
        ({"columns": (Column("x", fill="b"),) * 4}, "not the attributes of a network"),
        ({"columns": (3,) * 4}, "not the attributes of a network"),
        ({"frame": (1, 2)}, "expected an nnx.Frame, not a tuple"),
        ({"frame": Frame(3, 3, 255, 0)}, "frame must be .* height x width = 4"),
        ({"likeness": 3}, "not the attributes of a network"),
        ({"layers": ()}, "layers: 0, activations: 2"),
        ({"layers": [FIRST]}, "layers: 1, activations: 2"),
        ({"layers": [FIRST, _layer(6, 3)]}, r"layer 1 has shapes \(6, 3\) and \(3,"),
        (
            {"layers": [FIRST, Layer(np.ones((5, 3), "f4"), 0)]},
            "float32 and int64, not",
        ),
        ({"layers": [FIRST, _layer(5, 3)[::-1]]}, r"layer 1 has shapes \(3,\)"),
        ({"layers": [_layer(4, 0), _layer(0, 3)]}, r"layer 0 has shapes \(4, 0\)"),
        (
            {"layers": [FIRST, _layer(5, 3, dtype="float64")]},
            "its layers are float32 and float64",
        ),
        (
            {"layers": [_layer(4, 5, dtype="float16"), _layer(5, 3, dtype="float16")]},
            "its layers are float16, not float32 or float64",
        ),
        ({"layers": [_layer(4, 3, dtype=">f4")]}, "its layers are >f4, not float32"),
        ({"layers": [_layer(4, 5, dtype="int64"), _layer(5, 3)]}, "float32 and int64"),
        ({"layers": 3}, "not the attributes of a network"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_network_that_contradicts_itself(
    changed: dict, words: str, tmp_path: Path
) -> None:
    network = Network([4, 5, 3])
    with pytest.raises(InputError, match=words) as caught:
        network.replace(**changed)
    assert "\n" not in str(caught.value)
    network.save(tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    vars(network).update(changed)  # an attribute may also be assigned
    with pytest.raises(InputError, match=words):
        network.save(tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_attributes_as_lists_and_numpy_s_numbers(tmp_path: Path) -> None:
    network = Network([4, 5, 3]).replace(
        layers=((FIRST.weight, FIRST.bias), _layer(5, 3)),
        activation=["tanh", "identity"],
        classes=["a", "b", "c"],
        columns=[Column("x", np.float32(0.5), np.float32(2))] * 4,
        frame=Frame(np.int64(1), np.int8(4), 1, 0),
    )
    assert network.activation == ("tanh", "identity")
    network.save(tmp_path / "model.safetensors")
    loaded = Network.load(tmp_path)
    assert vars(loaded).keys() - vars(network).keys() <= {"likeness"}
    for name in "activation", "classes", "columns", "frame":
        assert getattr(loaded, name) == getattr(network, name)


def test_one_output_is_no_class() -> None:
    """Every image would be of it, with certainty."""
    network, x = Network([4, 5, 1], init="glorot"), np.eye(4, dtype=np.float32)
    for ask in network.predict, network.predict_proba:
        with pytest.raises(InputError, match="no target for it, .* the result.network"):
            ask(x)
    result = nnx.train(network, nnx.dataset(x, [0.5, 1, 2, 3]), epochs=1)
    assert result.network.predict(x).shape == (4,)


def test_a_copy_has_weights_of_its_own() -> None:
    network = Network([4, 5, 3])
    layers = [Layer(*(part.copy() for part in layer)) for layer in network.layers]
    for copy in network.replace(), network.replace(layers=layers):
        copy.layers[0].weight[:] = 7
        copy.layers[1].bias[:] = 7
    for layer in network.layers + layers:
        assert not any((part == 7).any() for part in layer)


def test_a_likeness_belongs_to_its_classes() -> None:
    from nnx.likeness import Likeness, shapes

    own = Likeness(*(np.ones(shape, np.float32) for shape in shapes(3)))
    network = Network([4, 3]).replace(likeness=own)
    with pytest.raises(InputError, match=r"likeness\.mean should have shape"):
        network.replace(likeness=own._replace(mean=np.ones(3, np.float32)))


def test_a_new_last_layer_needs_no_new_likeness() -> None:
    network = nnx.train(Network([64, 8, 10]), "digits", epochs=1).network
    assert network.likeness is not None
    layers = [network.layers[0], _layer(8, 5)]
    other = network.replace(layers=layers, classes=tuple("abcde"))
    assert other.likeness is None
    assert network.replace(classes=tuple("abcdefghij")).likeness is network.likeness
