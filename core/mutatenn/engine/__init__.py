"""Runs programs: names values by content, reuses them, isolates mutants in processes."""
