"""`nnx serve`."""

from typing import Annotated

import typer

from nnx.cli import show, signals
from nnx.cli.options import ModelArgument, classifier_of_pictures, number
from nnx.errors import MissingLibraryError

HOST, PORT, LAST_PORT = "127.0.0.1", 8000, 65535


def serve(
    model: ModelArgument,
    port: Annotated[
        int, number(int, "Port to listen on; 0 is any that is free.", 0)
    ] = PORT,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to listen on, such as 0.0.0.0 for all of this machine's "
            f"(default {HOST}, which only this machine reaches).",
            metavar="HOST",
        ),
    ] = None,
) -> None:
    """Serve a web page to draw on, which shows what the network predicts.

    While you draw, the page shows the probability of each class, the picture that the
    network sees, and the outputs of its hidden units. Ctrl-C ends it.

    [bold]Examples[/bold]

    nnx serve runs/mine

    nnx serve runs/mine --port 8080
    """
    network = classifier_of_pictures(model)
    if port > LAST_PORT:
        raise typer.BadParameter(f"{port} is not a port: the last one is {LAST_PORT}")
    try:
        import uvicorn  # noqa: F401

        from nnx.page.app import LOCAL, app
    except ImportError as error:
        raise MissingLibraryError(
            f"nnx serve needs {error.name}: pip install 'nnx-mlp[serve]'"
        ) from None
    from nnx.page import listen

    opened = listen.listening(host or HOST, port)
    show.line(f"{model}: draw at {listen.addresses(opened)} (Ctrl-C ends it)")
    with signals.at_once(lambda: None):  # the server re-raises its signal
        listen.run(app(network, hosts=["*"] if host else LOCAL), opened)
