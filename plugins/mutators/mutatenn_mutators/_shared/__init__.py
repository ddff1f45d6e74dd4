"""What operators of several kinds need."""
