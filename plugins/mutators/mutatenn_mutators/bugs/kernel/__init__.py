"""Bugs in the code of kernels."""
