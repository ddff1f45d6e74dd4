"""Networks layer by layer."""
