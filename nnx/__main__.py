"""The entry point of `python -m nnx` and of the programs `nnx` and `nnx-mlp`."""

import gc


def main() -> None:
    """Run the command line, which is imported only after signals are handled.

    What it imports, several hundred thousand objects, lives as long as the command.
    Searching them for garbage again and again took a fifth of a short command's time.
    """
    # `signal` wraps this module; importing `signal` takes as long as starting Python.
    import _signal  # type: ignore[import-not-found]

    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from nnx.cli import signals

    signals.begin()
    gc.set_threshold(20_000)  # objects more than at the last search
    try:
        from nnx.cli.main import main

        main()
    finally:
        gc.freeze()  # nor search them at exit


if __name__ == "__main__":
    main()
