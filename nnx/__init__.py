"""Fully-connected networks for digits; the maths is written once."""

__version__ = "0.1.0"
