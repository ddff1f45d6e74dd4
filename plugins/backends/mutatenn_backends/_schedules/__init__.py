"""Schedules for the kernels of CPUs and GPUs."""
