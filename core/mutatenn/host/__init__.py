"""Takes plugins in, and makes capabilities from what they offer."""
