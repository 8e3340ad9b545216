from pathlib import Path

import pytest

from nnx import Network, evaluate, train
from nnx.backend import Backend
from nnx.data.dataset import Dataset
from nnx.errors import InputError


def test_it_is_what_training_ended_with(
    data: Dataset, backend: Backend, tmp_path: Path
) -> None:
    network = Network([25, 7, 3], dtype="float64")
    result = train(network, data, epochs=3, out=tmp_path)
    evaluated = evaluate(Network.load(tmp_path), data, backend=backend)
    assert evaluated.images == 60
    assert evaluated.accuracy == result.test_accuracy
    assert evaluated.loss == pytest.approx(result.test_loss, rel=1e-12)


def test_data_that_does_not_fit(data: Dataset) -> None:
    network = train(Network([25, 3]), data, epochs=1).network
    for other in (
        data._replace(classes=("a", "b", "d")),
        data._replace(frame=data.frame._replace(maximum=16)),
    ):
        with pytest.raises(InputError, match=r"blobs does not fit the network"):
            evaluate(network, other)
