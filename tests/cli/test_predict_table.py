"""`nnx predict RUN table.csv`: what comes out, and what is refused."""

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nnx
from nnx.data import csv_rows
from nnx.data.dataset import Target
from nnx.training.scores import quantity

Run = Callable[..., Any]
ROWS = 60


def _table(path: Path, *more: str, rows: int = ROWS, order: str = "") -> None:
    """Write a table of ages and cities, with the columns of these names after them."""
    rng = np.random.default_rng(rows)
    names = [*(order.split(",") if order else ["age", "city"]), *more]
    with open(path, "w", newline="", encoding="utf-8") as file:
        lines = csv.DictWriter(file, names, extrasaction="ignore")
        lines.writeheader()
        for i in range(rows):
            age, city = int(rng.integers(20, 60)), ("Oslo", "Bern", "Rome")[i % 3]
            is_old = age > 40
            said = {
                "rent": 10 * age,
                "fee": age % 7,
                "kind": ("young", "old")[is_old],
                "name": f"0{i} Ł",
            }
            said |= {"is_old": int(is_old), "far": int(city == "Oslo")}
            lines.writerow({"age": age, "city": city} | said)


@pytest.fixture(scope="session")
def _networks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one epoch on a table: of a value, of two, of classes and of labels."""
    folder = tmp_path_factory.mktemp("networks")
    _table(folder / "train.csv", "rent", "fee", "kind", "is_old", "far")
    learnt: dict[str, tuple[str, ...]] = {
        "rents": ("rent",), "costs": ("rent", "fee"), "kinds": ("kind",),
        "tags": ("is_old", "far"),
    }  # fmt: skip
    every = {name for names in learnt.values() for name in names}
    for out, target in learnt.items():
        drop = tuple(every - {*target})
        data = nnx.load(folder / "train.csv", target=target, drop=drop)
        network = nnx.Network([4, data.outputs], seed=0)
        nnx.train(network, data, epochs=1, out=folder / out)
    return folder


@pytest.fixture
def networks(_networks: Path, cwd: Path) -> Path:
    """Those runs; where commands run there are test.csv and a link to it."""
    _table(cwd / "test.csv", "name")
    (cwd / "link.csv").symlink_to("test.csv")
    return _networks


def _lines(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


def test_the_guide_s_commands_for_a_table_of_passengers(done: Run, cwd: Path) -> None:
    """The columns, and the empty fields, of Kaggle's Titanic."""
    columns = "PassengerId,Survived,Pclass,Name,Sex,Age,SibSp,Parch,Ticket,Fare,Cabin"
    rows = [
        f'{i},{i % 3 // 2},{i % 3 + 1},"Braund, Mr. {i}",{"fe" * (i % 2)}male,'
        f"{i % 80 if i % 5 else ''},0,1,A/5 {i},{i / 7},{f'C{i}' if i % 4 == 0 else ''}"
        for i in range(1, 101)
    ]
    (cwd / "train.csv").write_text("\n".join([columns, *rows[:70]]))
    (cwd / "test.csv").write_text("\n".join([columns, *rows[70:]]))
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text("utf-8")
    example = guide[guide.index("## Predicting a table") :].replace("\\\n", "")
    for command in re.findall(
        r"^    nnx (.*(?:Survived|PassengerId).*)", example, re.M
    ):
        done(*command.split(), *(("--epochs", 1) if "train" in command else ()))
    written = _lines((cwd / "submission.csv").read_text())
    assert written[0] == ["PassengerId", "Survived"]
    assert [row[0] for row in written[1:]] == [str(i) for i in range(71, 101)]


def test_kaggle_s_digits_in_two_commands(done: Run, run: Run, cwd: Path) -> None:
    """From train.csv and test.csv to submission.csv."""
    digits = nnx.load("digits")
    header = ",".join(f"pixel{i}" for i in range(64))
    shown = digits.train.images.astype(int) * 15  # of 255
    labelled = np.column_stack((digits.train.labels, shown))
    for name, rows, head in (
        ("train", labelled, f"label,{header}"),
        ("test", digits.test.images.astype(int) * 15, header),
    ):
        how: Any = {"fmt": "%d", "delimiter": ",", "comments": ""}
        np.savetxt(cwd / f"{name}.csv", rows, header=head, **how)
    done("train", "--dataset", "train.csv", "--out", "a")
    wanted = "--format", "kaggle", "--out", "submission.csv"
    ran = run("predict", "a", "test.csv", *wanted)
    assert (ran.returncode, ran.stdout) == (0, "submission.csv: 359 rows predicted\n")
    head, *lines = _lines((cwd / "submission.csv").read_text())
    assert head == ["ImageId", "Label"]
    assert [int(number) for number, _ in lines] == list(range(1, 360))
    assert np.mean(digits.test.labels == [int(label) for _, label in lines]) > 0.9
    for more in ("--id", "pixel0"), ("--probabilities",):
        ran = run("predict", "a", "test.csv", *wanted, *more)
        assert ran.stderr.startswith("nnx: --format kaggle writes ImageId,Label for")


@pytest.mark.parametrize(
    ("learnt", "targets"), [("rents", ["rent"]), ("costs", ["rent", "fee"])]
)
def test_values_and_whose_they_are(
    run: Run, cwd: Path, networks: Path, learnt: str, targets: list[str]
) -> None:
    ran = run("predict", networks / learnt, "test.csv", "--id", "name")
    assert (ran.returncode, ran.stderr) == (0, "")
    head, *lines = _lines(ran.stdout)
    assert head == ["name", *targets]
    assert [name for name, *_ in lines] == [f"0{i} Ł" for i in range(ROWS)]
    network = nnx.Network.load(networks / learnt)
    [_, *rows] = _lines((cwd / "test.csv").read_text())
    x = network.features(
        np.array([[float(age), city] for age, city, _ in rows], object)
    )
    printed = [[float(value) for value in values] for _, *values in lines]
    predicted = network.predict(x).reshape(ROWS, -1)
    np.testing.assert_allclose(printed, predicted, rtol=1e-6)


def test_classes_by_name_and_their_probabilities(
    run: Run, cwd: Path, networks: Path
) -> None:
    words = "predict", networks / "kinds", "test.csv", "--probabilities"
    ran = run(*words, "--id", "name", "--out", "a.csv", "--json")
    assert json.loads(ran.stdout) == {"table": "test.csv", "rows": 60, "out": "a.csv"}
    text = (cwd / "a.csv").read_bytes().decode()
    assert "\r" not in text
    head, *lines = _lines(text)
    assert head == ["name", "kind", "probability_old", "probability_young"]
    assert [name for name, *_ in lines] == [f"0{i} Ł" for i in range(ROWS)]
    for _, kind, old, young in lines:
        assert kind == ("old" if float(old) > float(young) else "young")
        assert float(old) + float(young) == pytest.approx(1.0, abs=1e-5)


def test_labels_are_0_or_1_each(run: Run, networks: Path) -> None:
    ran = run("predict", networks / "tags", "test.csv", "--probabilities")
    head, *lines = _lines(ran.stdout)
    labels = ["is_old", "far"]
    assert head == ["row", *labels, *(f"probability_{label}" for label in labels)]
    for line in lines:
        taken = [float(share) > 0.5 for share in line[3:]]
        assert line[1:3] == [str(int(each)) for each in taken]


def test_columns_are_told_apart_by_name(run: Run, cwd: Path, networks: Path) -> None:
    ran = run("predict", networks / "rents", "test.csv")
    _table(cwd / "other.csv", order="far,city,name,age")
    assert run("predict", networks / "rents", "other.csv").stdout == ran.stdout


def test_blocks_are_as_one(
    networks: Path, cwd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nnx.data import unlabelled

    columns = nnx.Network.load(networks / "rents").columns
    [whole] = unlabelled.of_columns(cwd / "test.csv", columns, "name")
    monkeypatch.setattr(csv_rows, "_BLOCK", 21)
    monkeypatch.setattr(csv_rows, "_FEWEST", 1)
    blocks = list(unlabelled.of_columns(cwd / "test.csv", columns, "name"))
    assert [len(block.images) for block in blocks] == [7] * 8 + [4]
    together = np.concatenate([block.images for block in blocks])
    np.testing.assert_array_equal(together, whole.images)
    assert [name for block in blocks for name in block.ids] == whole.ids
    # A fault in a later block is found where it is.
    text = (cwd / "test.csv").read_text().splitlines(keepends=True)
    text[40] = "old,Oslo,x\n"
    (cwd / "bad.csv").write_text("".join(text))
    with pytest.raises(nnx.NnxError, match=r"bad\.csv, line 41, column 'age': 'old'"):
        list(unlabelled.of_columns(cwd / "bad.csv", columns))


def test_parquet(run: Run, cwd: Path, networks: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    [names, *rows] = _lines((cwd / "test.csv").read_text())
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    columns["age"] = [int(age) for age in columns["age"]]
    pq.write_table(pa.table(columns), cwd / "test.parquet")
    words = "--id", "name"
    ran = run("predict", networks / "rents", "test.parquet", *words)
    assert ran.stdout == run("predict", networks / "rents", "test.csv", *words).stdout
    columns["age"] = ["30", "old"] * (ROWS // 2)
    pq.write_table(pa.table(columns), cwd / "text.parquet")
    ran = run("predict", networks / "rents", "text.parquet")
    assert ran.returncode == 2
    assert "text.parquet, row 2, column 'age': 'old' is not a number" in ran.stderr


@pytest.mark.parametrize("maximum", [255, 16])
def test_pictures_as_rows_and_as_an_archive(run: Run, cwd: Path, maximum: int) -> None:
    network = nnx.Network((16, 3), seed=0)
    network = network.replace(frame=network.frame._replace(maximum=maximum))
    network.save(cwd / "m")
    rng = np.random.default_rng(0)
    images = rng.integers(0, maximum + 1, (9, 4, 4)).astype(np.uint8)
    flat = images.reshape(9, 16)
    np.savez(cwd / "more.npz", images=images)
    rows = [",".join(map(str, row)) for row in flat]
    (cwd / "bare.csv").write_text("\n".join(rows))
    labelled = [f"{i},{row},5" for i, row in enumerate(rows)]
    names = ",".join(f"p{i}" for i in range(16))
    (cwd / "id.csv").write_text("\n".join([f"id,{names},Label", *labelled]))
    classes = network.predict(flat)
    assert len({*classes}) > 1
    expected = [
        ["row", "label"],
        *([str(i + 1), str(c)] for i, c in enumerate(classes)),
    ]
    for file, more in ("more.npz", ()), ("bare.csv", ()), ("id.csv", ("--id", "id")):
        ran = run("predict", "m", file, *more)
        assert [line[1:] for line in _lines(ran.stdout)] == [e[1:] for e in expected]
        says = f"{file}: pixels are assumed to be from 0 to {maximum}"
        assert says in ran.stderr
    assert "the column label is left out" in ran.stderr


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (
            "age,city\n30,Oslo\nold,Bern\n",
            "line 3, column 'age': 'old' is not a number",
        ),
        ("age,city\n30,Oslo\n,Bern\n", "line 3, column 'age': empty field"),
        ("age,city\n30,Oslo\nnan,Bern\n", "line 3, column 'age': empty field"),
        ("age,city\n30,Oslo\ninf,Bern\n", "line 3, column 'age': inf is too large"),
        ("age,city\n30,Oslo\n30,Paris\n", "line 3, column 'city': 'Paris' is in no"),
        ("age,city\n30,Oslo\n30\n", "line 3: 1 columns, but the first line has 2"),
        ("age,town\n30,Oslo\n", "no column is called 'city'; there are 'age', 'town'"),
        ("30,Oslo\n31,Bern\n", "no column is called 'age'; there are '30', 'Oslo'"),
        ("age,city,age\n30,Oslo,3\n", "column 1: another one is also called 'age'"),
        ("age,city\n", "no rows: only a header line"),
        ("", "no rows: the file is empty"),
        ('age,city\n30,"Oslo\n', "line 2: a quote in this row is not closed"),
        ("age,city\n30,Os\0lo\n", "line 2: not text: it has NUL bytes"),
    ],
)
def test_tables_that_are_refused(
    refused: Callable[..., str], cwd: Path, networks: Path, fault: str, says: str
) -> None:
    (cwd / "bad.csv").write_text(fault)
    words = "predict", networks / "rents", "bad.csv", "--out", "out.csv"
    refused(*words, says=("bad.csv", says))


@pytest.mark.parametrize("file", ["test.csv", "digit.png", "none.JPG"])
def test_the_model_comes_first(
    refused: Callable[..., str], networks: Path, old_run: Path, file: str
) -> None:
    says = f"{file}: is not a model, which comes first: nnx predict old run {file}"
    refused("predict", file, "old run", says=(says,))
    refused("predict", file, "a.png", says=(f"first: nnx predict RUN {file}",))
    says = f"first: nnx predict a.safetensors {file}"
    refused("predict", file, "a.safetensors", says=(says,))


def test_a_picture_that_is_not_there(run: Run, cwd: Path, old_run: Path) -> None:
    old_run.rename(cwd / "a.csv")  # a folder may have any name
    ran = run("predict", "a.csv", "none.png")
    says = "nnx: none.png: No such file or directory\n"
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", says)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("1,2,3\n", "3 columns of pixels; the network takes 16"),
        (",".join(["1"] * 15 + ["x"]), "line 1, column '16': 'x' is not a number"),
        (
            ",".join(["1"] * 15 + [""]),
            "line 1, column '16': empty field, where a pixel",
        ),
        (",".join(["1"] * 15 + ["256"]), "'16': pixel value 256 is outside 0-255"),
        (",".join(["1"] * 15 + ["-1"]), "'16': pixel value -1 is outside 0-255"),
    ],
)
def test_pixels_that_are_refused(
    refused: Callable[..., str], cwd: Path, old_run: Path, fault: str, says: str
) -> None:
    (cwd / "bad.csv").write_text(fault)
    refused("predict", old_run, "bad.csv", says=("bad.csv", says))


def test_a_million_columns(
    refused: Callable[..., str], cwd: Path, old_run: Path
) -> None:
    (cwd / "wide.csv").write_text(",".join(["1"] * 10**6) + "\n")
    refused(
        "predict", old_run, "wide.csv", says=("line 1: 1,000,000 columns; at most",)
    )


@pytest.mark.parametrize(
    ("run_name", "words", "says"),
    [
        (
            "rents",
            ("a.png",),
            "takes 2 columns of a table, not pictures: give a table",
        ),
        ("rents", ("test.csv", "a.png"), "give one table, and no other file"),
        ("rents", ("test.csv", "--json"), "give --out with --json"),
        (
            "rents",
            ("test.csv", "--id", "x"),
            "no column is called 'x'; there are 'age'",
        ),
        ("rents", ("test.csv", "--out", "test.csv"), "is the table itself"),
        ("rents", ("test.csv", "--out", "link.csv"), "is the table itself"),
        (
            "rents",
            ("test.csv", "--out", "no/a.csv"),
            "cannot write predictions: there is no such folder",
        ),
        ("rents", ("test.csv", "--probabilities"), "--probabilities is for classes"),
        ("rents", ("test.csv", "--format", "xml"), "--format is one of csv, kaggle"),
        (
            "rents",
            ("test.csv", "--format", "kaggle"),
            "writes ImageId,Label for one class",
        ),
        (
            "kinds",
            ("test.csv", "--format", "kaggle"),
            "of many, called label, and nothing else; without it, --id COLUMN copies",
        ),
        ("tags", ("test.csv", "--format", "kaggle"), "for one class of many"),
        ("kinds", ("a.png", "--id", "x"), "--format are for a table: give one of .csv"),
        ("kinds", ("a.png", "--out", "a.csv"), "--out, --id, --probabilities and"),
        ("kinds", ("gone.CSV",), "gone.CSV: cannot be read: No such file"),
        ("kinds", ("test.npz",), "test.npz: not a table: give one of .csv"),
    ],
)
def test_words_that_do_not_fit(
    refused: Callable[..., str],
    networks: Path,
    run_name: str,
    words: tuple[str, ...],
    says: str,
) -> None:
    refused("predict", networks / run_name, *words, says=(says,))


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_a_picture_s_values_or_labels(
    run: Run, refused: Callable[..., str], cwd: Path, task: str
) -> None:
    pixels = np.pad(np.array([[100, 255], [50, 200]], np.uint8), 1)
    Image.fromarray(pixels).save(cwd / "a.png")
    names: dict[str, object] = {"classes": ("cat", "dog")}
    if task == "regression":
        names = {"targets": (Target("x", 5.0, 2.0), Target("y")), "classes": ()}
    network = nnx.Network((16, 2), seed=10).replace(task=task, **names)
    network.save(cwd / "model.safetensors")
    ran = run("predict", "model.safetensors", "a.png", "--json")
    [row] = json.loads(ran.stdout)["predictions"]
    if task == "regression":
        assert [*row["values"]] == ["x", "y"]
        answers = [*row["values"].values()]
        np.testing.assert_allclose(answers, network.predict([pixels])[0])
        title, shown = [], [*map(quantity, answers)]
    else:
        answers = row["probabilities"]
        np.testing.assert_allclose(answers, network.predict_proba([pixels])[0])
        assert row["labels"] == ["dog"]  # the probabilities are 0.31 and 0.66
        title = ["probability of each label in %"]
        shown = [f"{100 * chance:.1f}" for chance in answers]
    *said, heading, _, line = run(
        "predict", "model.safetensors", "a.png"
    ).stdout.splitlines()
    columns = ["x", "y"] if task == "regression" else ["cat", "dog"]
    assert (said, heading.split()) == (title, ["file", *columns])
    assert line.split() == ["a.png", *shown]
    assert run("predict", "model.safetensors", "none.png").stdout == ""
    says = ("and the page is for one class of many",)
    refused("serve", "model.safetensors", says=says)


@pytest.mark.parametrize("command", ["serve", "export"])
def test_the_page_is_for_classes_of_pictures(
    refused: Callable[..., str], networks: Path, command: str
) -> None:
    more = ("--html", "a.html") if command == "export" else ()
    says = ("takes 2 columns of a table, not pictures: the page to draw on is for",)
    refused(command, networks / "rents", *more, says=says)


def test_an_accuracy_is_not_asked_of_values(
    refused: Callable[..., str], networks: Path
) -> None:
    table = "--dataset", networks / "train.csv", "--target", "rent"
    words = "train", *table, "--require-accuracy", 0, "--out", "a"
    refused(
        *words, says=("--require-accuracy is for classes: the score of train is R²",)
    )


def test_a_file_stays_as_it_was_when_a_later_row_is_bad(
    run: Run, cwd: Path, networks: Path
) -> None:
    _table(cwd / "long.csv", rows=30_000)
    with open(cwd / "long.csv", "a") as file:
        file.write("x,Oslo\n")
    (cwd / "out.csv").write_text("as it was")
    ran = run("predict", networks / "rents", "long.csv", "--out", "out.csv")
    assert ran.returncode == 2
    assert re.search(r"long\.csv, line 30002, column 'age': 'x' is not", ran.stderr)
    assert (cwd / "out.csv").read_text() == "as it was"
    assert not list(cwd.glob(".out*"))


def test_evaluate_says_r2_and_rmse(run: Run, networks: Path) -> None:
    ran = run("evaluate", networks / "rents", "--json")
    found = json.loads(ran.stdout)
    data = nnx.load(
        networks / "train.csv", target="rent", drop=["fee", "kind", "is_old", "far"]
    )
    network = nnx.Network.load(networks / "rents")
    predicted = network.predict(data.test.images)
    [target] = data.targets
    true = data.test.labels[:, 0] * target.scale + target.mean
    rmse = np.sqrt(np.mean((predicted - true) ** 2))
    [row] = found["targets"]
    assert row["name"] == "rent"
    assert row["rmse"] == pytest.approx(rmse, rel=1e-4)
    assert row["r2"] == pytest.approx(found["test_r2"])
    lines = run("evaluate", networks / "rents").stdout.splitlines()
    assert re.match(r"train: test R² -?\d+\.\d{4} \(loss \d\.\d+\) on 6 rows", lines[0])
    assert lines[-1].split()[0] == "rent"
