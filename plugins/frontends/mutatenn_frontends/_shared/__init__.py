"""What the frontends have in common."""
