"""Schedules kernels for CPUs: the first rule that fits a kernel schedules it.

Every output is computed by the same operations in the same order as without a schedule, so results are equal
bit for bit: outputs are computed side by side, the terms of one never are.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mutatenn import ir
from mutatenn_backends._schedules.cpu.map_elements import map_elements
from mutatenn_backends._schedules.cpu.stream_products import stream_products
from mutatenn_backends._schedules.cpu.sum_side_by_side import sum_side_by_side
from mutatenn_backends._schedules.cpu.tile_products import tile_products
from mutatenn_backends._schedules.cpu.tile_windows import tile_windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mutatenn_backends._schedules.cpu._rule import Rule

logger = logging.getLogger(__name__)

RULES: tuple[Rule, ...] = (map_elements, tile_products, stream_products, tile_windows, sum_side_by_side)
SIDE_BY_SIDE = tuple(rule for rule in RULES if rule is not stream_products)
"""Those whose outer loops go over outputs, and so can be shared out among threads."""


def apply_schedules(function: Any, target: Any, rules: Sequence[Rule] = RULES) -> Any:
    """Return a schedulable PrimFunc scheduled by the first rule that fits it, or as it is where none does."""
    for rule in rules:
        scheduled = _attempt(rule, function, target)
        if scheduled is not None:
            logger.debug("scheduled by %s", rule.__name__)
            return scheduled
    return function


def _attempt(rule: Rule, function: Any, target: Any) -> Any:
    try:
        scheduled = rule(function, target)
        return scheduled if scheduled is None or _is_whole(scheduled) else None
    except MemoryError:
        raise
    except Exception as error:  # whatever a rule stumbles over, the kernel can do without it
        logger.debug("%s does not apply: %s: %s", rule.__name__, type(error).__name__, error)
        return None


def _is_whole(function: Any) -> bool:
    """Tell whether a function uses only what it defines; building it would fail otherwise."""
    return not ir.tirx.analysis.undefined_vars(function.body, list(function.params))
