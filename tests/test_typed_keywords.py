"""A type checker refuses what `nnx.train` would: keywords that are not its own."""

from pathlib import Path

import pytest

CODE = """
import nnx
data, network = nnx.load("digits"), nnx.Network([64, 10])
nnx.train(network, data, learning_rate=0.1, epochs=3, batch_size="full")
nnx.train(network, data, lr=0.1)
nnx.train(network, data, epoch=3)
nnx.train(network, data, epochs="3")
nnx.train(network, data, hidden=(128,))
nnx.train(network, data, l1=1e-5, augment="shift=2", class_weights=(1.0, 2.0))
nnx.Netwrok([64, 10])
nnx.sklearn.MLPClasifier()
def watch(progress: nnx.Progress, found: nnx.Evaluation) -> None: ...
"""


def test_keywords_of_train(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    """Of the eight calls, the six wrong ones are refused, each in its line."""
    api = pytest.importorskip(
        "mypy.api", reason="mypy is not installed: pip install nnx-mlp[dev]"
    )
    # Kept from run to run, as making what is in it takes seconds, unless pytest runs
    # without its cache.
    own = getattr(pytestconfig, "cache", None)
    cache = tmp_path if own is None else own.mkdir("mypy")
    options = ["--strict", "--follow-imports=silent", "--ignore-missing-imports"]
    said, failed, _ = api.run(
        ["--config-file", "", "--cache-dir", str(cache), *options, "-c", CODE]
    )
    errors = [line for line in said.splitlines() if ": error:" in line]
    assert failed == ""
    assert [int(line.split(":")[1]) for line in errors] == [5, 6, 7, 8, 10, 11], said
    words = [
        'Unexpected keyword argument "lr" for "train"',
        'Unexpected keyword argument "epoch" for "train"; did you mean "epochs"?',
        'Argument "epochs" to "train" has incompatible type "str"; expected "int"',
        'Unexpected keyword argument "hidden" for "train"',
        'Module has no attribute "Netwrok"; maybe "Network"?',
        'Module has no attribute "MLPClasifier"; maybe "MLPClassifier"?',
    ]
    for line, word in zip(errors, words, strict=True):
        assert word in line
