"""With bounds checked, a fault that leaves its buffer is caught there, whatever lies beyond."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from mutatenn import Observation, ir
from mutatenn.compiler.toolchain import Toolchain
from mutatenn_backends.llvm import Llvm
from mutatenn_mutators.bugs_kernel_index import NarrowLoadIndex

Run = Callable[..., dict[str, Observation]]


@pytest.fixture(scope="module")
def guarded(chain: Any) -> Any:
    """Return the chain with the bounds of changed kernels checked."""
    plain = chain.toolchain
    checked = Toolchain(plain.model, plain.backend, plain.profile, bounds=True)
    return attrs.evolve(chain, toolchain=checked)


def shifted(amount: int) -> Callable[[Any], Any]:
    """Return a change of a store: so many elements further."""

    def change(node: Any) -> Any:
        index = node.indices[-1]
        further = ir.tirx.Add(index, ir.tirx.IntImm(index.ty.dtype, amount))
        return ir.tirx.BufferStore(node.buffer, node.value, [*node.indices[:-1], further])

    return change


def longer(node: Any) -> Any:
    return ir.tirx.For(node.loop_var, node.min, node.extent + 1, node.kind, node.body)


@pytest.mark.parametrize(("amount", "unit"), [(1, "relu"), (-1, "relu"), (1000, "softmax"), (10**9, "relu")])
def test_a_store_beyond_its_buffer_is_caught(chain: Any, guarded: Any, amount: int, unit: str) -> None:
    seen = guarded.run({"wild": guarded.fault(unit, shifted(amount))})["wild"]
    assert seen.outcome == "out-of-bounds"
    assert seen.message.startswith(f"{unit}: store to ")
    assert "index [" in seen.message
    assert "extent [" in seen.message
    if abs(amount) == 1:  # it lands between the guards of a tensor: nothing happens
        assert chain.run({"wild": chain.fault(unit, shifted(amount))})["wild"].outcome == "ran"


def test_a_read_beyond_its_buffer_is_caught(guarded: Any) -> None:
    def further(node: Any) -> Any:
        index = node.indices[-1]
        return ir.tirx.BufferLoad(node.source, [ir.tirx.Add(index, ir.tirx.IntImm(index.ty.dtype, 1))])

    seen = guarded.run({"read": guarded.fault("relu", further, node="TensorLoad", site=0)})["read"]
    assert seen.outcome == "out-of-bounds"
    assert "relu: load from " in seen.message


def test_one_iteration_more_is_caught(guarded: Any) -> None:
    seen = guarded.run({"longer": guarded.fault("relu", longer, node="For")})["longer"]
    assert seen.outcome == "out-of-bounds"


def test_what_stays_inside_computes_the_same(chain: Any, guarded: Any) -> None:
    def doubled(value: Any) -> Any:
        return ir.tirx.Mul(value, ir.tirx.FloatImm("float32", 2.0))

    for unit in ("multiply", "relu", "matmul", "softmax"):
        one, other = (bench.run({"calm": bench.store(unit, doubled)})["calm"] for bench in (chain, guarded))
        assert (one.outcome, other.outcome) == ("ran", "ran")
        assert one.outputs.tobytes() == other.outputs.tobytes()


def test_a_read_in_a_branch_that_is_not_taken_does_not_count(guarded: Any) -> None:
    """The guard of a padding, as TVM writes it."""

    def conditional(node: Any) -> Any:
        index = node.indices[-1]
        beyond = ir.tirx.Add(index, ir.tirx.IntImm(index.ty.dtype, 1))
        inside = ir.tirx.LT(beyond, ir.tirx.IntImm(index.ty.dtype, 8))
        return ir.tirx.if_then_else(inside, ir.tirx.BufferLoad(node.source, [beyond]), node)

    seen = guarded.run({"careful": guarded.fault("relu", conditional, node="TensorLoad", site=0)})["careful"]
    assert (seen.outcome, seen.message) == ("ran", "")


def test_vectors_of_computed_indices_are_checked_lane_by_lane(digits: Any) -> None:
    """An index narrowed to 8 bits wraps: in a vector, lane by lane."""
    plain = digits.toolchain
    checked = Toolchain(plain.model, Llvm(), plain.profile, bounds=True)
    bench = attrs.evolve(digits, toolchain=checked, images=digits.images[:2], expected=digits.expected[:2])
    mutator, unit = NarrowLoadIndex(), "fused_conv2d2_add_add1_relu"
    sites = range(len(mutator.sites(checked.unit(unit, "lowered"))))
    chosen = {str(site): [site] for site in sites[:: max(1, len(sites) // 12)]}
    faults = {
        name: lambda site=site: checked.derive(mutator, "lowered", {unit: site})[0]
        for name, site in chosen.items()
    }
    seen = bench.run(faults)
    assert {each.outcome for each in seen.values()} <= {"out-of-bounds", "ran"}
    caught = [each.message for each in seen.values() if each.outcome == "out-of-bounds"]
    assert any("Cast" in message and "Ramp" in message for message in caught), caught
