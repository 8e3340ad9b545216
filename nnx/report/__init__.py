"""Pictures of a run: its course, what the network has learned, and its mistakes."""
