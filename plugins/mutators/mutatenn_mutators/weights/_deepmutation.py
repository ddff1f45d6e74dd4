"""Where the operators on weights and layers come from."""

from __future__ import annotations

DEEPMUTATION = (
    "DeepMutation: Mutation Testing of Deep Learning Systems, Ma et al., ISSRE 2018; "
    "DeepMutation++: A Mutation Testing Framework for Deep Learning Systems, Hu et al., ASE 2019"
)
