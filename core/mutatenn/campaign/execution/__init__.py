"""Runs a campaign: from its file to a verdict on every mutant."""
