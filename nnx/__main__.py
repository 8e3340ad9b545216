"""`python -m nnx` is `nnx`."""

from nnx.cli.main import main

if __name__ == "__main__":
    main()
