"""The baseline gate: whether the original computes what its framework does, and where not."""
