"""Compiled kernels: many training steps in one call, by a team of threads."""
