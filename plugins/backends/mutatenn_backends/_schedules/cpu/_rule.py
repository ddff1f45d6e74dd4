"""The form of a rule: a scheduled function, or None for a kernel that it does not fit."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from mutatenn_backends._schedules.cpu._stages import NotApplicableError

Rule = Callable[[Any, Any], Any]

logger = logging.getLogger(__name__)


def rule(schedule: Rule) -> Rule:
    """Return a rule that gives None where ``schedule(function, target)`` raises NotApplicableError."""

    @functools.wraps(schedule)
    def apply(function: Any, target: Any) -> Any:
        try:
            return schedule(function, target)
        except NotApplicableError as reason:
            logger.debug("%s does not apply: %s", schedule.__name__, reason)
            return None

    return apply
