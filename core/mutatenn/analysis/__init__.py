"""What is asked of finished runs."""
