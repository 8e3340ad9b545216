"""Pictures of a run: how it went, what the network learned, and what it gets wrong."""
