"""Processors, and the text that LLVM prints of them."""
