"""PyTorch: eager and compiled, and on a card captured as a CUDA graph."""

from nnx_benchmarks.rivals import torch_eager, torch_graph

IMPLEMENTATIONS = torch_eager.implementations() + torch_graph.implementations()
