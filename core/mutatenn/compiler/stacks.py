"""Writes ``stack`` as a ``concat``: TVM's ConvertLayout fails on a stack that is reduced afterwards."""

from __future__ import annotations

from typing import Any

from mutatenn.compiler import ir


def join_stacks(module: Any) -> Any:
    """Return the module with every stack of tensors replaced by the concatenation along a new axis."""
    joiner = _joiner()(module)
    for var, function in module.functions_items():
        if isinstance(function, ir.relax.Function):
            joiner.builder_.update_func(var, joiner.visit_expr(function))
    return joiner.builder_.get()


def _joiner() -> Any:
    @ir.relax.expr_functor.mutator
    class Joiner(ir.relax.PyExprMutator):  # type: ignore[misc]
        def visit_call_(self, call: Any) -> Any:
            call = self.visit_expr_post_order(call)
            if getattr(call.op, "name", "") != "relax.stack" or not isinstance(call.args[0], ir.tvm.ir.Tuple):
                return call
            axis = int(call.attrs.axis)
            parts = [ir.relax.op.expand_dims(part, axis) for part in call.args[0].fields]
            return ir.relax.op.concat(parts, axis)

    return Joiner
