"""Whether the gradients are right, and whether every backend computes the same."""
