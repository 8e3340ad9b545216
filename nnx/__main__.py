"""`python -m nnx`, and the programs `nnx` and `nnx-mlp`."""

from nnx.cli import signals


def main() -> None:
    """Run the command line, which is imported once signals are answered."""
    signals.begin()
    from nnx.cli.main import main

    main()


if __name__ == "__main__":
    main()
