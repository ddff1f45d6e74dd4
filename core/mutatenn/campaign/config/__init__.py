"""The campaign file: its values, and how it is read."""
