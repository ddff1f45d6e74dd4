"""Exported programs of PyTorch, and their export."""
