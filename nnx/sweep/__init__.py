"""Sweeps: a search of settings that any number of processes work on."""
