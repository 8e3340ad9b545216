"""The entry point of `python -m nnx` and of the programs `nnx` and `nnx-mlp`."""


def main() -> None:
    """Run the command line, which is imported only after signals are handled."""
    # `signal` wraps this module; importing `signal` takes as long as starting Python.
    import _signal  # type: ignore[import-not-found]

    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    from nnx.cli import signals

    signals.begin()
    from nnx.cli.main import main

    main()


if __name__ == "__main__":
    main()
