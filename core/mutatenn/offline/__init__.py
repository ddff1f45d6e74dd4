"""Campaigns on devices without a network: bundles and their results."""
