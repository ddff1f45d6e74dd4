"""The operators of MutateNN's published code that its paper does not name."""
