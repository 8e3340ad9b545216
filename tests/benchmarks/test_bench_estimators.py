"""What `nnx bench estimators` measures, and that a fit of another loss has no speed."""

from typing import Any

import pytest

from nnx.data.dataset import Dataset
from nnx.sklearn import MLPClassifier
from nnx_benchmarks import estimators


class Other(MLPClassifier):
    """Learns something else."""

    def fit(self, x: Any, y: Any) -> Any:
        return super().fit(2.0 * x, y)


@pytest.mark.parametrize("wrong", [False, True])
def test_fits(images: Dataset, wrong: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimators, "TABLES", {})
    monkeypatch.setattr(estimators, "REST", 0.0)
    if wrong:
        monkeypatch.setattr(estimators.nnx.sklearn, "MLPClassifier", Other)
    [report] = estimators.measure(images, 1, lambda text: None)
    assert len(report.tables) == 2
    for table in report.tables:
        assert len(table.cells()) == 2 - wrong
        assert len(table.without_speed()) == wrong
    assert {row["implementation"] for row in report.as_json()["rows"]} == {
        "scikit-learn", "nnx",
    }  # fmt: skip
