"""From a table to a trained network: as good as scikit-learn's, and the same again."""

import numpy as np
import pandas
import pytest

import nnx
from nnx.data.dataset import TableOptions
from nnx.errors import InputError
from nnx.settings import ROWS
from nnx.training.data import load_data
from nnx.training.folder import load_settings


@pytest.fixture
def houses(tmp_path):
    rng = np.random.default_rng(0)
    frame = pandas.DataFrame(
        {
            "size": rng.uniform(30, 200, 200).round(1),
            "city": rng.choice(["Bern", "Oslo", "Rome"], 200),
        }
    )
    worth = {"Bern": 9.0, "Oslo": 7.0, "Rome": 5.0}
    frame["price"] = (frame["size"] * frame["city"].map(worth)).round(1)
    frame.to_csv(tmp_path / "houses.csv", index=False)
    return tmp_path / "houses.csv"


@pytest.mark.parametrize(
    ("name", "options", "epochs"),
    [
        ("load_diabetes", {"return_X_y": True}, 40),
        ("make_friedman2", {"n_samples": 600, "noise": 20, "random_state": 0}, 60),
        ("make_friedman3", {"n_samples": 600, "noise": 0.05, "random_state": 0}, 60),
        pytest.param(
            "make_friedman1",
            {"n_samples": 1000, "noise": 0.5, "random_state": 0},
            100,
            marks=pytest.mark.sweep,
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_r2_is_that_of_scikit_learn(name, options, epochs):
    """Of its regressor with the same layers and optimizer, on the same numbers."""
    from sklearn import datasets
    from sklearn.metrics import r2_score
    from sklearn.neural_network import MLPRegressor

    x, y = getattr(datasets, name)(**options)
    ours, theirs = [], []
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(y))
        test, train = order[: len(y) // 4], order[len(y) // 4 :]
        data = nnx.dataset(
            x[train], y[train], x[test], y[test], scale="standard", task="regression"
        )
        network = nnx.Network([x.shape[1], 64, 1], init="glorot", seed=seed)
        result = nnx.train(
            network, data, optimizer="adam", epochs=epochs, seed=seed, backend="numpy"
        )
        ours.append(result.test_score)
        regressor = MLPRegressor(
            hidden_layer_sizes=(64,),
            alpha=0.0,
            batch_size=32,
            max_iter=epochs,
            n_iter_no_change=epochs,
            random_state=seed,
        )
        regressor.fit(data.train.images, data.train.labels[:, 0])
        predicted = regressor.predict(data.test.images)
        theirs.append(r2_score(data.test.labels[:, 0], predicted))
    assert np.mean(ours) > np.mean(theirs) - 0.01


@pytest.mark.parametrize("hidden", [(), (128,), (512,), (64, 64)])
@pytest.mark.parametrize("optimizer", ["sgd", "nesterov"])
def test_the_rate_that_is_taken_does_not_diverge(houses, hidden, optimizer):
    data = nnx.load(houses, target="price")
    network = nnx.Network([4, *hidden, 1])
    result = nnx.train(network, data, optimizer=optimizer, epochs=20, backend="numpy")
    assert result.test_score > 0.8


def test_the_settings_of_a_run_load_its_data_again(houses, tmp_path):
    options = {"target": "price", "categorical": "city", "standardize": "columns"}
    data = nnx.load(houses, validation_data=houses, **options)
    network = nnx.Network([4, 8, 1])
    result = nnx.train(
        network, data, epochs=2, learning_rate=1e-6, out=tmp_path / "run", patience=2
    )
    assert result.validation_score is not None
    settings = load_settings(tmp_path / "run")
    again = load_data(settings)
    assert again.columns == result.network.columns
    assert again.options == data.options
    for ours, theirs in zip(again.parts, data.parts, strict=True):
        np.testing.assert_array_equal(ours.images, theirs.images)
    kept = nnx.Network.load(tmp_path / "run")
    assert (kept.columns, kept.targets) == (data.columns, data.targets)
    assert nnx.evaluate(kept, again).score == pytest.approx(result.test_score)


def test_a_run_goes_on_with_the_same_table_alone(houses, tmp_path):
    def train(data, **how):
        network = nnx.Network([4, 8, 1])
        return nnx.train(network, data, out=tmp_path / "run", backend="numpy", **how)

    data = nnx.load(houses, target="price")
    train(data, epochs=2)
    other = nnx.load(houses, target="price", standardize="columns")
    with pytest.raises(InputError, match="is of another run, which differs in.* data"):
        train(other, epochs=4, resume=True)
    assert len(train(data, epochs=4, resume=True).log) == 4


def test_a_pair_and_another_to_choose_by():
    x = np.random.default_rng(0).random((90, 5)).astype(np.float32)
    y = (x[:, 0] > 0.5).astype(int)
    network = nnx.Network([5, 8, 2])
    result = nnx.train(
        network, (x, y), validation=(x[:30], y[:30]), epochs=30, patience=2
    )
    assert result.validation_accuracy is not None
    assert result.network.classes == ("0", "1")
    part = nnx.Split(x[:30], y[:30])
    again = nnx.train(network, (x, y), validation=part, epochs=30, patience=2)
    assert again.log[-1][:5] == result.log[-1][:5]
    with pytest.raises(InputError, match="both set what to validate on: set one"):
        nnx.train(network, (x, y), validation=part, epochs=1, validation_fraction=0.1)
    for wrong in 0.1, [x, y], (x,):
        with pytest.raises(InputError, match="validation must be a pair"):
            nnx.train(network, (x, y), validation=wrong)
    with pytest.raises(InputError, match="expected a data set, as nnx.load gives it"):
        nnx.train(network, x)
    with pytest.raises(InputError, match="expected images of shape"):
        nnx.train(network, (x, y), validation=nnx.Split(x[:9, :2], y[:9]))


def test_a_part_of_a_data_set_is_not_a_pair():
    """Its bytes from 0 to 16 would be taken as pixels of up to 255."""
    data = nnx.load("digits")
    network = nnx.Network([64, 4, 10])
    with pytest.raises(InputError, match="does not tell its scale: give the whole"):
        nnx.train(network, data.train, epochs=1)
    with pytest.raises(InputError, match="does not tell its scale: give the whole"):
        nnx.dataset(*data.train, validation=data.test)


def test_floats_beyond_1_are_refused_of_pixels_and_taken_of_columns():
    x = np.random.default_rng(0).random((60, 4)) * 255
    y = np.arange(60) % 2
    part = nnx.Split(x.astype(np.float32), y)
    by_hand = nnx.Dataset("mine", part, part, ("a", "b"), nnx.Frame(2, 2, 255, 2))
    network = nnx.Network([4, 3, 2])
    with pytest.raises(InputError, match="mine: floats are pixels in .0, 1., but thes"):
        nnx.train(network, by_hand)
    with pytest.raises(InputError, match="x is float64 from"):
        nnx.train(network, (x, y))
    told = nnx.dataset(x, y, scale="none")
    nnx.train(network, told, epochs=1, learning_rate=1e-6)


def test_the_settings_have_the_defaults_of_the_loader():
    usual = TableOptions()._asdict()
    assert {name: ROWS[name].default for name in usual} == usual


def test_what_a_trained_network_knows_stays_at_its_place():
    """Weights do not move: another order would begin with each at another column."""
    x = np.random.default_rng(0).normal(5, 2, (60, 2))
    frame = pandas.DataFrame(x, columns=["a", "b"]).assign(c=["x", "y", "z"] * 20)
    y = np.array(["no", "yes"] * 30)

    def train(network, x, y):
        return nnx.train(network, (x, y), epochs=1, backend="numpy").network

    network = train(nnx.Network([5, 2]), frame, y)
    assert train(network, frame * 2, y).columns != network.columns  # other scales
    last = frame.assign(c=frame.c.replace("z", "zz"))  # another one at its place
    for data in (last, y), (frame, np.where(y == "no", "a", "b")):
        assert train(network, *data).sizes == (5, 2)
    for kind, place, data in (
        ("columns", "'b' at place 1", (frame[["b", "a", "c"]], y)),
        ("columns", "'c=y' at place 3", (frame.assign(c=["y", "z", "zz"] * 20), y)),
        ("classes", "'yes' at place 1", (frame, np.where(y == "no", "zero", "yes"))),
    ):
        words = rf"{place} of its {kind}, .*network\.replace\({kind}=data\.{kind}\)"
        with pytest.raises(InputError, match=words):
            train(network, *data)
        changed = {kind: getattr(nnx.dataset(*data), kind)}
        assert train(network.replace(**changed), *data).sizes == (5, 2)
    values = pandas.DataFrame(x, columns=["sum", "less"])
    of_values = train(nnx.Network([5, 2], init="glorot"), frame, values)
    with pytest.raises(InputError, match="'less' at place 1 of its targets"):
        train(of_values, frame, values[["less", "sum"]])
    # The numbered classes may be those of a new network.
    assert train(nnx.Network([5, 2]), frame, np.arange(60) % 2 + 1).classes == (
        "1",
        "2",
    )
