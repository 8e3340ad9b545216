"""Sweeps: searches for the best settings, shared by any number of processes."""
