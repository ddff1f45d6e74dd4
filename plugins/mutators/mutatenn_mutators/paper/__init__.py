"""The operators of the MutateNN paper, and their like."""
