"""Settings from files and presets: which takes precedence, and what is refused."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_files import config

from nnx.cli.main import app
from nnx.cli.train import train
from nnx.settings import ROWS, as_text
from nnx.settings.kinds import PANELS
from nnx.settings.other_names import OPTIONS

Run = Callable[..., Any]
Refused = Callable[..., str]
# A value for every option of training that is not its default, all at once.
ALL = {
    "--validation-fraction": "0.2",
    "--augment": "shift=1",
    "--pixels": "raw",
    "--hidden": "7,6",
    "--activation": "tanh,gelu",
    "--init": "lecun",
    "--dtype": "float64",
    "--optimizer": "adamw",
    "--epochs": "6",
    "--batch-size": "7",
    "--learning-rate": "0.01",
    "--schedule": "plateau:patience=1,warmup=0.5",
    "--momentum": "0.8",
    "--momentum-schedule": "linear:to=0.9",
    "--beta2": "0.99",
    "--clip-norm": "1",
    "--ema-decay": "0.9",
    "--patience": "2",
    "--l1": "1e-5",
    "--l2": "1e-4",
    "--weight-decay": "0.01",
    "--max-norm": "3",
    "--input-dropout": "0.1",
    "--input-noise": "0.1",
    "--dropout": "0.3",
    "--label-smoothing": "0.1",
    "--class-weights": "1,2,1",
    "--seed": "5",
    "--backend": "numpy",
    "--precision": "full",
}


def test_every_setting_is_an_option() -> None:
    """And in a panel of the help."""
    from typer.main import get_command

    command = get_command(app).commands["train"]
    options = {tuple(option.opts): option for option in command.params}
    for name, row in ROWS.items():
        option = options[("--" + name.replace("_", "-"),)]
        assert option.rich_help_panel == row.panel
        assert row.panel in PANELS


def test_all_options_at_once_and_again_from_the_run_s_settings(
    done: Run, old_run: Path, cwd: Path
) -> None:
    given = [word for pair in ALL.items() for word in pair]
    done(
        *["train", "--dataset", "squares", *given, "--batch-norm", "--out", "a"],
        "--json",
    )
    found = config(cwd / "a")
    defaults = as_text({name: row.default for name, row in ROWS.items()})
    changed = {name for name, value in defaults.items() if found[name] != value}
    assert changed >= {name[2:].replace("-", "_") for name in ALL} - {"precision"}
    done("train", "--config", "a/config.toml", "--out", "b", "--quiet")
    a, b = (cwd / name / "model.safetensors" for name in "ab")
    assert a.read_bytes() == b.read_bytes()
    assert config(cwd / "b") == found


def test_options_go_before_a_file_and_a_file_before_a_preset(
    done: Run, old_run: Path, cwd: Path
) -> None:
    text = """
        dataset = "squares"
        hidden = [6]
        epochs = 2
        dropout = 0
        class_weights = [1, 0.5, 2.5]
        batch_norm = true
    """
    (cwd / "mine.toml").write_text(text)
    done(
        *["train", "--preset", "relu-25-25", "--config", "mine.toml", "--out", "a"],
        *["--epochs", "1", "--no-batch-norm", "--quiet"],
    )
    found = config(cwd / "a")
    wanted = {
        "epochs": 1,
        "hidden": [6],
        "l2": 1e-4,
        "dropout": 0.0,
        "class_weights": [1, 0.5, 2.5],
        "batch_norm": False,
    }
    assert {name: found[name] for name in wanted} == wanted


def test_another_optimizer_comes_with_its_own_rates(
    done: Run, old_run: Path, cwd: Path
) -> None:
    (cwd / "mine.toml").write_text("learning_rate = 0.3\nmomentum = 0.5\n")
    base = "train", "--dataset", "squares", "--config", "mine.toml", "--quiet"
    done(*base, "--optimizer", "adam", "--out", "a", "--epochs", 1)
    found = config(cwd / "a")
    assert (found["learning_rate"], found["momentum"]) == (0.001, 0.9)
    again = "train", "--config", "a/config.toml", "--optimizer", "sgd", "--quiet"
    done(*again, "--out", "b", "--epochs", 1)
    found = config(cwd / "b")
    assert (found["learning_rate"], found["momentum"], found["beta2"]) == (0.2, 0, 0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("drop_out = 0.1", "no setting is called 'drop_out'; did you mean dropout?"),
        ("lr = 0.1", "no setting is called 'lr'; did you mean learning_rate?"),
        ("averaging = 0.9", "averaging is now called ema_decay"),
        ("validation = 0.1", "validation is now called validation_fraction"),
        ("early_stopping = 2", "early_stopping is now called patience"),
        ("batch-size = 2", "no setting is called 'batch-size'; did you mean batch_si"),
        ("qwertz = 2", "no setting is called 'qwertz'; there are dataset, data_dir,"),
        ("[training]\nl2 = 0.1", "no setting is called 'training'; there are dataset"),
        ("dropout = '0.1'", "dropout must be a number from 0 to 0.99, not '0.1'"),
        ("dropout = 1", "dropout must be a number from 0 to 0.99, not 1"),
        ("dropout = inf", "dropout must be a number from 0 to 0.99, not inf"),
        (
            "dropout = 2020-01-01",
            "dropout must be a number from 0 to 0.99, not datetim",
        ),
        ("epochs = 1.0", "epochs must be an integer from 1 to 1000000, not 1.0"),
        ("epochs = true", "epochs must be an integer from 1 to 1000000, not True"),
        ("hidden = 1.5", "each from 1 to 100000, as in 128,64, not 1.5"),
        ("hidden = ['9']", "each from 1 to 100000, as in 128,64, not ['9']"),
        ("batch_norm = 1", "batch_norm must be true or false, not 1"),
        ("schedule = 3", "as in cosine:warmup=2,to=0.001, not 3"),
        ("threads = 2", "'threads' is not a setting: give the command --threads"),
        ("l2 = " + "1" * 5000, "not TOML: "),
        ("class_weights = 'x'", "cat=2,dog=0.5, or balanced, not 'x'"),
        ("dataset = ''", "dataset must be the name of a dataset or a path, not ''"),
        ("l2 = 0.1\nl2 = 0.2", "not TOML: Cannot overwrite a value (at "),
        ("dropout 0.1", "not TOML: Expected '=' after a key in a key/value pair"),
        ("l2 = 0.1\ndropout =", "not TOML: Invalid value (at "),
        (b"\xff\xfe", "not TOML: it is not UTF-8 text"),
        (b"PK\x03\x04\x00", "not TOML: "),
    ],
    ids=lambda value: str(value)[:14],
)
def test_files_that_are_refused(
    refused: Refused, cwd: Path, text: str | bytes, says: str
) -> None:
    content = text if isinstance(text, bytes) else text.encode()
    (cwd / "my run.toml").write_bytes(content)
    refused("train", "--config", "my run.toml", says=("nnx: my run.toml: ", says))


def test_options_that_are_no_settings_are_known_as_such() -> None:
    options = {name.rstrip("_") for name in inspect.signature(train).parameters}
    assert set(ROWS) < options
    assert options - set(ROWS) - {"help", "help_all", "data"} == OPTIONS


def test_a_mark_of_the_byte_order_and_a_home_that_is_not_there(
    refused: Refused, cwd: Path
) -> None:
    content = b'\xef\xbb\xbfdata_dir = "~nobody-here/x"\n'
    (cwd / "my.toml").write_bytes(content)
    says = ("data_dir is for mnist, fashion-mnist, kmnist, not for digits",)
    refused("train", "--config", "my.toml", says=says)


def test_files_that_are_none(refused: Refused, cwd: Path) -> None:
    (cwd / "folder").mkdir()
    says = ("nnx: none.toml: cannot be read: No such file or directory",)
    refused("train", "--config", "none.toml", says=says)
    says = ("nnx: folder: cannot be read: Is a directory",)
    refused("train", "--config", "folder", says=says)
    refused("train", "--config", "", says=("'--config': the name of a",))


def test_a_run_that_is_replaced_leaves_no_settings(done: Run, old_run: Path) -> None:
    assert config(old_run)["hidden"] == [5]
    train = "train", "squares", "--epochs", 1, "--quiet"
    done(*train, "--out", old_run, "--overwrite")
    assert config(old_run)["hidden"] != [5]


def test_a_file_does_not_change_a_run_that_is_resumed(
    refused: Refused, old_run: Path, cwd: Path
) -> None:
    (cwd / "mine.toml").write_text("dropout = 0.25")
    resume = "train", "--out", old_run, "--resume", "--config", "mine.toml"
    refused(*resume, says=("differs in dropout (was 0.0, now 0.25)",))
