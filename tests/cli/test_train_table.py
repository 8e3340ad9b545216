"""`nnx train` and `nnx evaluate` on tables: what is said, and what is refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_files import config

from nnx.settings.values import regression_rate

Run = Callable[..., Any]

HEADER = "size,city,price"


@pytest.fixture
def houses(cwd: Path) -> Path:
    def row(i: int) -> str:
        return f"{30 + i * 7 % 90},{('Bern', 'Oslo')[i % 2]},{100.5 + 3 * (i * 7 % 90)}"

    path = cwd / "houses.csv"
    path.write_text("\n".join([HEADER, *map(row, range(80))]) + "\n")
    return path


def reversed_rows(path: Path) -> str:
    """Return a table of the same rows, which is another for a run of this one."""
    first, *rows = path.read_text().splitlines()
    return "\n".join([first, *reversed(rows)])


def answer(ran: Any) -> Any:
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


PRICE = "train", "--dataset", "houses.csv", "--target", "price", "--backend", "numpy"


def test_a_regression_from_its_table_to_its_score(
    run: Run, cwd: Path, houses: Path
) -> None:
    ran = run(*PRICE, "--epochs", "150", "--out", "run")
    assert "houses: target 'price': regression" in ran.stderr
    assert "columns of numbers: 1, of text: 1; features: 3" in ran.stderr
    assert "test R² 0." in ran.stdout
    assert answer(run("evaluate", "run", "--json"))["test_r2"] > 0.9
    made = config(cwd / "run")
    rate = regression_rate((3, *made["hidden"], 1))
    assert made["learning_rate"] == pytest.approx(rate, rel=1e-9)
    again = run("train", "--config", "run/config.toml", "--out", "again")
    assert again.returncode == 0
    ours, theirs = (cwd / of / "model.safetensors" for of in ("run", "again"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_run_with_huber_s_loss_is_evaluated_by_it(
    run: Run, cwd: Path, houses: Path
) -> None:
    huber = "--huber-delta", "0.1", "--epochs", "2", "--json", "--out", "run"
    trained = answer(run(*PRICE, *huber))
    tested = answer(run("evaluate", "run", "--json"))
    assert tested["test_loss"] == pytest.approx(trained["test_loss"], rel=1e-6)
    assert run("plot", "run").returncode == 0
    report = (cwd / "run/report.html").read_text()
    assert f"{tested['test_r2']:.4f}, loss {tested['test_loss']:.4f}" in report


def test_a_table_with_its_columns_in_another_order(
    run: Run, cwd: Path, houses: Path
) -> None:
    run(*PRICE, "--epochs", "150", "--out", "run")
    rows = [line.split(",") for line in houses.read_text().splitlines()]
    (cwd / "same.csv").write_text(reversed_rows(houses))
    other = cwd / "other.csv"
    other.write_text("".join(f"{c},{s}{p},{p},{s}\n" for s, c, p in rows))
    ours, theirs = (
        answer(run("evaluate", "run", "--dataset", path, "--json"))
        for path in ("same.csv", "other.csv")
    )
    assert ours["test_r2"] == pytest.approx(theirs["test_r2"], rel=1e-6)
    assert ours["test_r2"] > 0.9
    assert ours["images"] == 80
    ran = run("evaluate", "run", "--dataset", "houses.csv", "--target", "size")
    assert (ran.returncode, ran.stdout) == (2, "")
    says = "nnx: houses.csv: the network predicts price, not size\n"
    assert ran.stderr == says


def test_the_run_s_own_table_is_tested_on_by_its_test_rows(
    done: Run, run: Run, cwd: Path, houses: Path
) -> None:
    """Whatever it is called now; its training rows would flatter the network."""
    done(*PRICE, "--epochs", "2", "--out", "run")
    expected = answer(run("evaluate", "run", "--json"))
    assert expected["images"] == 8
    (cwd / "copy.csv").write_bytes(houses.read_bytes())
    (cwd / "link.csv").symlink_to(houses)

    def is_own(name: str) -> None:
        home = {"HOME": str(cwd)}
        ran = run("evaluate", "run", "--dataset", name, "--json", env=home)
        stem = Path(name).stem
        assert answer(ran) == expected | {"dataset": stem}
        says = "the run was trained on this table; tested on its 8 test rows alone"
        assert ran.stderr == f"{stem}: {says}\n"

    for name in "houses.csv", "~/copy.csv", "link.csv":
        is_own(name)
    ran = run("plot", "run", "--dataset", "copy.csv", "--out", "pictures")
    assert "not the data" not in ran.stderr
    ran = done("export", "run", "--card", "card.md", "--dataset", "copy.csv")
    assert "On the 8 test rows of copy" in (cwd / "card.md").read_text("utf-8")
    houses.rename(cwd / "moved.csv")
    is_own("moved.csv")
    (cwd / "other.csv").write_text(reversed_rows(cwd / "moved.csv"))
    (cwd / "alone").mkdir()
    shutil.copy(cwd / "run/model.safetensors", cwd / "alone")  # of a run not known

    def is_another(model: str, name: str) -> None:
        ran = run("evaluate", model, "--dataset", name, "--json")
        assert (answer(ran)["images"], ran.stderr) == (80, "")

    is_another("run", "other.csv")
    is_another("alone/model.safetensors", "moved.csv")
    (cwd / "other.csv").rename(houses)  # another table of that name
    (cwd / "run" / "checkpoint.safetensors").unlink()
    is_another("run", "houses.csv")


def test_the_run_s_own_table_that_has_changed_is_tested_with_a_word(
    done: Run, run: Run, houses: Path
) -> None:
    """As it may hold rows that the network was trained on."""
    done(*PRICE, "--epochs", "2", "--out", "run", "--no-plots")
    lines = houses.read_text("utf-8").splitlines(keepends=True)
    houses.write_text("".join([*lines, lines[1]]))
    differs = "houses: differs from what the run was trained on, so it may be tested on"
    for more, rows in ((), 8), (("--dataset", "houses.csv"), 81):
        ran = run("evaluate", "run", *more, "--json")
        assert answer(ran)["images"] == rows
        assert ran.stderr == f"{differs} rows that it was trained on\n"
    ran = done("plot", "run", "--dataset", "houses.csv", "--out", "pictures")
    assert (ran.stderr.count(differs), "not the data" in ran.stderr) == (1, False)


def test_a_table_to_test_on_and_one_to_choose_by(run: Run, houses: Path) -> None:
    own = "--test-data", "houses.csv", "--validation-data", "houses.csv"
    ran = run(
        *PRICE, *own, "--epochs", "4", "--patience", "3", "--out", "run", "--json"
    )
    found = answer(ran)
    assert found["validation_r2"] == pytest.approx(found["test_r2"])


@pytest.mark.parametrize(
    ("line", "options", "words"),
    [
        ("x,Bern,5", (), "houses.csv, line 82, column 'size': 'x' is not a number"),
        (",Bern,5", (), "houses.csv, line 82, column 'size': empty field"),
        ("5,Bern,", (), "houses.csv, line 82, column 'price': the target is missing"),
        ("5,Bern", (), "houses.csv, line 82: 2 columns, but the first line has 3"),
        ("5,Bern,5,5", (), "houses.csv, line 82: 4 columns, but the first line has 3"),
        ('5,"Bern,5', (), "houses.csv, line 82: a quote in this row is not closed"),
        ("5,Be\0rn,5", (), "houses.csv, line 82: not text: it has NUL bytes"),
        ("5,Bern,inf", (), "line 82, column 'price': inf is too large, or infinite"),
        (
            "5,Bern,1",
            ("--drop", "rooms"),
            "no column is called 'rooms'; there are 'siz",
        ),
        (
            "5,Bern,1",
            ("--task", "sort"),
            "task must be one of auto, classification, mu",
        ),
        ("5,Bern,1", ("--test-data", "no.csv"), "no.csv: cannot be read: No such file"),
        ("5,Bern,1", ("--augment", "shift=1"), "augment needs pictures"),
    ],
)
def test_a_table_that_is_refused(
    run: Run, houses: Path, line: str, options: tuple[str, ...], words: str
) -> None:
    houses.write_text(houses.read_text() + line + "\n")
    ran = run(*PRICE, *options)
    assert ran.returncode == 2
    assert ran.stdout == ""
    assert words in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1


def test_a_table_that_has_moved(done: Run, run: Run, houses: Path) -> None:
    done(*PRICE, "--epochs", "1", "--out", "run")
    moved = houses.rename(houses.with_name("elsewhere.csv"))
    says = "houses.csv: no such file or folder; if the data have moved, --dataset gives"
    for words in (
        ("evaluate", "run"),
        ("train", "--resume", "--out", "run"),
        ("train", "--from", "run", "--out", "new"),
    ):
        ran = run(*words)
        assert (ran.returncode, says in ran.stderr) == (2, True), ran.stderr
        assert len(ran.stderr) < 200 + len(str(houses))
    done("evaluate", "run", "--dataset", moved)
    more = "--epochs", "2", "--dataset", moved
    new = "--from", "run", "--out", "new", "--target", "price"
    for words in ("--resume", "--out", "run"), new:
        ran = done("train", *words, *more)


def test_a_column_with_a_comma_in_its_name(done: Run, run: Run, houses: Path) -> None:
    text = houses.read_text().replace("size", '"size (m²), about"', 1)
    houses.write_text(text, encoding="utf-8")
    ran = run(*PRICE, "--drop", "size (m²), about")
    assert ran.returncode == 2
    says = 'in a list, as in a file for --config, ["size (m²), about"]'
    assert "no column is called 'size (m²)'" in ran.stderr
    assert says in ran.stderr
    whole = 'drop = ["size (m²), about"]\n'
    houses.with_name("c.toml").write_text(whole, encoding="utf-8")
    ran = done(*PRICE, "--config", "c.toml", "--epochs", "1", "--out", "run")
    assert "columns of numbers: 0, of text: 1" in ran.stderr


def test_labels_are_tested_on_a_table_of_numbers(
    done: Run, run: Run, cwd: Path
) -> None:
    rows = [f"{i},{i % 2},{i // 2 % 2}" for i in range(60)]
    (cwd / "multi.csv").write_text("\n".join(["a,l1,l2", *rows]))
    more = "--epochs", "1", "--backend", "numpy", "--out", "run"
    done("train", "multi.csv", "--target", "l1,l2", *more)
    (cwd / "other.csv").write_text(reversed_rows(cwd / "multi.csv"))
    evaluate = "evaluate", "run", "--dataset", "other.csv"
    assert answer(run(*evaluate, "--json"))["images"] == 60
    assert " % with all labels right (loss " in run(*evaluate).stdout


def test_classes_are_predicted_as_they_are_written(
    done: Run, run: Run, cwd: Path
) -> None:
    rows = [f"{i},{('01', '02', '007')[i % 3]}" for i in range(60)]
    (cwd / "t.csv").write_text("\n".join(["a,y", *rows]))
    more = "--epochs", "1", "--backend", "numpy", "--out", "run"
    done("train", "t.csv", "--target", "y", *more)
    said = run("predict", "run", "t.csv").stdout.split()[1:]
    assert {line.partition(",")[2] for line in said} <= {"01", "02", "007"}
    (cwd / "other.csv").write_text(reversed_rows(cwd / "t.csv"))
    tested = answer(run("evaluate", "run", "--dataset", "other.csv", "--json"))
    assert tested["images"] == 60


def test_a_table_of_no_pictures_is_told_of_the_target(run: Run, houses: Path) -> None:
    ran = run("train", "--dataset", "houses.csv")
    assert ran.returncode == 2
    assert "to predict a column of a table, name it as target" in ran.stderr
