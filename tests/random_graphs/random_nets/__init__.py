"""Random small image classifiers in ONNX, each from a seed."""

from __future__ import annotations

from typing import Any

import numpy as np

from random_nets.net import Net, UnfitError, Value
from random_nets.operators import DRAWS

SMALLEST, LARGEST = 3, 12
IMAGE_RANK = 4
IMAGES = ((1, 1, 5, 5), (1, 3, 5, 7), (1, 3, 1, 6), (1, 4, 4, 4), (1, 2, 7, 1), (1, 1, 1, 1), (1, 5, 3, 3))


def draw(seed: int) -> Any:
    """Return the ONNX model of a seed: 3 to 12 nodes, one image in, scores ``[1, classes]`` out."""
    for attempt in range(100):
        net = Net(np.random.default_rng([seed, attempt]), IMAGES[seed % len(IMAGES)])
        try:
            return _grow(net)
        except UnfitError:
            continue
    raise AssertionError(f"seed {seed} gives no network")


def _grow(net: Net) -> Any:
    names, weights = list(DRAWS), np.array([weight for _, weight in DRAWS.values()])
    body = min(net.whole(SMALLEST, LARGEST) for _ in range(3)) - 2
    while len(net.nodes) < body:
        images = [value for value in net.values if value.rank == IMAGE_RANK]
        among = images if images and net.chance(0.5) else net.values
        kind = net.rng.choice(names, p=weights / weights.sum())
        with net.attempt(body):
            DRAWS[kind][0](net, among[-1] if net.chance(0.6) else net.pick(among))
    return net.model(_head(net))


def _head(net: Net) -> Value:
    """Make scores of the last value and maybe others: flattened, weighted, maybe joined, maybe a softmax."""
    classes = net.whole(2, 6)
    scores = _project(net, net.values[-1], classes)
    read = {name for node in net.nodes for name in node.input}
    loose = [value for value in net.values[:-1] if value.name not in read]
    if net.chance(0.5 if loose else 0.1) and len(net.nodes) + 3 <= LARGEST:
        scores = net.add("Add", scores, _project(net, net.pick(loose or net.values), classes))
    elif net.chance(0.3) and len(net.nodes) < LARGEST:
        scores = net.add("Softmax", scores, axis=-1)
    if not SMALLEST <= len(net.nodes) <= LARGEST:
        raise UnfitError
    spread = max(np.ptp(each) for each in scores.probes)
    if spread < 1e-2 or np.ptp(scores.probes, axis=0).max() < 1e-2 * spread:
        raise UnfitError  # nothing of the image is left in them
    return scores


def _project(net: Net, value: Value, classes: int) -> Value:
    flat = value
    if value.shape != (1, value.size):
        rows = net.constant([1, -1], np.int64)
        flat = net.add("Flatten", value, axis=0) if net.chance(0.7) else net.add("Reshape", value, rows)
    weights = net.constant(net.rng.normal(0, 1 / np.sqrt(value.size), (value.size, classes)))
    if net.chance(0.5):
        return net.add("MatMul", flat, weights)
    return net.add("Gemm", flat, weights, net.constant(net.rng.normal(size=classes)))
