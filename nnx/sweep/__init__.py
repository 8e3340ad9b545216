"""Sweeps: one study of settings, worked through by any number of processes."""
