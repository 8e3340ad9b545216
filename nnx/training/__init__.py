"""The training loop, its state, its files and its presets."""
