"""What the images are worth."""
