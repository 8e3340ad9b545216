"""How fast nnx is, beside whom, and that the results agree."""
