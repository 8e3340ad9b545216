"""How fast nnx and other libraries train, after checking that their results agree."""
