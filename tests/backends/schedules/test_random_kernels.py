"""Random kernels equal their unscheduled form bit for bit, on every processor, run after run."""

from __future__ import annotations

from typing import Any

import pytest

SEEDS = 36
MORE = 400
"""Seeds for a long run (``make test-soak``)."""


def check(seed: int, benches: Any, random_graph: Any, make_graph: Any) -> list[str]:
    """Check the kernels of a graph; each seed has its processor. Return the rules."""
    bench = list(benches.values())[seed % len(benches)]
    _, body, shapes = random_graph(seed)
    kernels = bench.kernels(make_graph(body, *shapes))
    return [bench.check(kernel, poison=seed % 2 == 0) for kernel in kernels]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_random_kernel(benches: Any, random_graph: Any, make_graph: Any, seed: int) -> None:
    assert check(seed, benches, random_graph, make_graph)


@pytest.mark.soak
def test_many_random_kernels(benches: Any, random_graph: Any, make_graph: Any) -> None:
    rules = {
        rule for seed in range(SEEDS, SEEDS + MORE) for rule in check(seed, benches, random_graph, make_graph)
    }
    assert len(rules - {""}) == 5  # every rule
