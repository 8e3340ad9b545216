"""`nnx export`."""

from pathlib import Path
from typing import Annotated

from nnx.cli import show
from nnx.cli.options import ModelArgument, classifier_of_pictures, path
from nnx.errors import InputError


def export(
    model: ModelArgument,
    html: Annotated[Path, path("The page to write.", metavar="FILE")],
) -> None:
    """Write a page to draw on as one file, which needs neither nnx nor a server.

    It is the page of 'nnx serve' with the weights in it, rounded to 16 bits, and
    computes in the browser. Open the file, or put it on any web space.

    [bold]Example[/bold]

    nnx export runs/mine --html digits.html
    """
    from nnx import files
    from nnx.page.render import page

    network = classifier_of_pictures(model)
    if html.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{html}: a page's name ends in .html")
    files.write(html, page(network, alone=True).html.encode())
    show.line(str(html))
