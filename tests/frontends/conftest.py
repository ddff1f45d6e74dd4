from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from mutatenn import Model, ir


def count_calls(model: Model) -> Counter[str]:
    """Count the operators of main."""
    found: Counter[str] = Counter()

    def visit(expression: Any) -> None:
        if isinstance(expression, ir.tvm.ir.Call):
            found[expression.op.name.removeprefix("relax.")] += 1

    ir.relax.analysis.post_order_visit(model.module["main"], visit)
    return found


@pytest.fixture
def calls() -> Callable[[Model], Counter[str]]:
    return count_calls
