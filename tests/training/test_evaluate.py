from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nnx import Network, evaluate, train
from nnx.backend import Backend, find
from nnx.data.dataset import Dataset
from nnx.errors import InputError
from nnx.maths.network import forward
from nnx.maths.ops import Ops


def test_it_is_what_training_ended_with(
    data: Dataset, backend: Backend, tmp_path: Path
) -> None:
    network = Network([25, 7, 3], dtype="float64")
    result = train(network, data, epochs=3, out=tmp_path)
    evaluated = evaluate(Network.load(tmp_path), data, backend=backend)
    assert evaluated.images == 60
    assert evaluated.accuracy == result.test_accuracy
    assert evaluated.loss == pytest.approx(result.test_loss, rel=1e-12)


def test_logits_are_computed_once(data: Dataset) -> None:
    asked = []

    def logits(layers, pixels, activations, scale):  # type: ignore[no-untyped-def]
        asked.append(len(pixels))
        x = pixels.astype(np.float32) * scale
        return forward(layers, x, activations, Ops(np)).logits

    counting = replace(find("numpy"), ops=Ops(np, logits=logits))
    network = train(Network([25, 3]), data, epochs=1).network
    found = evaluate(network, data, backend=counting)
    assert found.loss == evaluate(network, data).loss
    assert asked == [60]


def test_data_that_does_not_fit(data: Dataset) -> None:
    network = train(Network([25, 3]), data, epochs=1).network
    for other in (
        data._replace(classes=("a", "b", "d")),
        data._replace(frame=data.frame._replace(maximum=16)),
    ):
        with pytest.raises(InputError, match=r"blobs does not fit the network"):
            evaluate(network, other)


def test_confusion_precision_and_recall_are_scikit_learn_s(
    data: Dataset, backend: Backend
) -> None:
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 60)  # none of the third class
    hard = data._replace(test=data.test._replace(labels=labels))
    network = Network([25, 7, 3], "relu", dtype="float64", seed=3).replace(
        classes=data.classes, frame=data.frame
    )
    found = evaluate(network, hard, backend=backend)
    predicted = network.predict_proba(hard.test.images).argmax(axis=1)
    assert found.confusion.dtype == np.int64
    expected = confusion_matrix(labels, predicted, labels=range(3))
    np.testing.assert_array_equal(found.confusion, expected)
    assert np.trace(found.confusion) / 60 == found.accuracy
    precision, recall, _, _ = precision_recall_fscore_support(
        labels, predicted, labels=range(3), zero_division=np.nan
    )
    np.testing.assert_allclose(found.precision, precision)
    np.testing.assert_allclose(found.recall, recall)
    assert np.isnan(found.recall[2])
