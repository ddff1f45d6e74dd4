"""Contracts and values that plugins see."""
