"""Environments against each other."""
