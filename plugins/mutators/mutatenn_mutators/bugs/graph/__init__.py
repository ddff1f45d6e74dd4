"""Bugs in the graph of layers."""
