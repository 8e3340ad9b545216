"""The page to draw on: one source, for `nnx serve` and for `nnx export --html`."""
