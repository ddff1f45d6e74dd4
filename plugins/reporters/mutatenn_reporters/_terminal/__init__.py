"""What the terminal reporter shows."""
