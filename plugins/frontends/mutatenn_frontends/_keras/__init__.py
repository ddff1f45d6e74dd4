"""Keras' files, in Keras' own process and out of it."""
