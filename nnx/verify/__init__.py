"""Checks that the gradients are right, and that all backends compute the same."""
