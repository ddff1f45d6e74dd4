"""SavedModels and frozen graphs, in TensorFlow's own process and out of it."""
