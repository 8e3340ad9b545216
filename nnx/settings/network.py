"""The rows of the settings that say what is trained, and what computes it."""

from typing import Annotated, TypedDict

from nnx.maths.activations import ACTIVATIONS
from nnx.settings import kinds
from nnx.settings.kinds import Row

DTYPES = "float32", "float64"

DATASET_HELP = (
    "A name from 'nnx data list', or a path: a folder of IDX files, a CSV with a label "
    "column, an .npz, or a folder of pictures a class."
)
DATA_DIR_HELP = (
    "A folder that already holds the files of mnist, fashion-mnist or kmnist; "
    "NNX_DATA_DIR is looked at too."
)


class NetworkSettings(TypedDict, total=False):
    """What is trained, on what data, and what computes it."""

    dataset: Annotated[
        str,
        Row(
            "digits",
            kinds.text("the name of a dataset or a path", "NAME|PATH"),
            "Data",
            DATASET_HELP,
        ),
    ]
    data_dir: Annotated[
        str, Row("", kinds.text("a path", "DIR", empty=True), "Data", DATA_DIR_HELP)
    ]
    hidden: Annotated[
        tuple[int, ...],
        Row(
            (128,),
            kinds.widths(),
            "Network",
            'Widths of the hidden layers: 128,64; "" is none.',
        ),
    ]
    activation: Annotated[
        str | tuple[str, ...],
        Row(
            ("relu",),
            kinds.activations(),
            "Network",
            f"Of the hidden layers: {', '.join(ACTIVATIONS)}; or one for each: "
            "relu,tanh.",
        ),
    ]
    init: Annotated[
        str | tuple[str, ...],
        Row(
            ("auto",),
            kinds.initializers(),
            "Network",
            "Initial weights: auto, he, glorot, lecun, normal:0.01 or zeros; auto "
            "suits the activation.",
        ),
    ]
    dtype: Annotated[
        str, Row("float32", kinds.one_of(DTYPES), "Network", "float32 or float64.")
    ]
    backend: Annotated[
        str,
        Row(
            "auto",
            kinds.text("the name of a backend", "NAME"),
            "Run",
            "What computes: see 'nnx info'. auto takes compiled kernels where they "
            "work and pay, and plain NumPy elsewhere.",
        ),
    ]
    precision: Annotated[
        str,
        Row(
            "full",
            kinds.one_of(("full", "tf32")),
            "Run",
            "full, or tf32: lets a GPU round the factors of float32 products to 10 "
            "bits.",
        ),
    ]
