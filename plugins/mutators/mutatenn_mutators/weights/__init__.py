"""Faults of a trained network: in stored weights, neurons and layers."""
