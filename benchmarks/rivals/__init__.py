"""What nnx is compared with, each from the same weights on the same batches."""
