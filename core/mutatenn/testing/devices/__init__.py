"""What the devices of a backend promise."""
