"""Where most of the built-in operators come from."""

from __future__ import annotations

PAPER = (
    "MutateNN: Mutation Testing of Image Recognition Models Deployed on Hardware Accelerators, "
    "Louloudakis et al., 2023"
)
