"""A fault that leaves its buffer ends alike whatever lies beyond, or is told apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn import Observation, ir
from mutatenn.compiler.toolchain import Toolchain
from mutatenn_backends.llvm import Llvm
from mutatenn_mutators.bugs.kernel.index import NarrowLoadIndex

FAR = 2000  # elements: no guard is as wide


def with_bounds(bench: Any, bounds: Any) -> Any:
    plain = bench.toolchain
    return attrs.evolve(bench, toolchain=Toolchain(plain.model, plain.backend, plain.profile, bounds))


@pytest.fixture(scope="module")
def strict(chain: Any) -> Any:
    """Return the chain with no access let out of its buffer."""
    return with_bounds(chain, True)


@pytest.fixture(scope="module")
def unchecked(chain: Any) -> Any:
    return with_bounds(chain, False)


def shifted(amount: int) -> Callable[[Any], Any]:
    """Return a change of a store, or of a load: so many elements further."""

    def change(node: Any) -> Any:
        index = node.indices[-1]
        further = ir.tirx.Add(index, ir.tirx.IntImm(index.ty.dtype, amount))
        if isinstance(node, ir.tirx.BufferStore):
            return ir.tirx.BufferStore(node.buffer, node.value, [*node.indices[:-1], further])
        return ir.tirx.BufferLoad(node.source, [further])

    return change


def read(bench: Any, unit: str, amount: int, **options: Any) -> Observation:
    fault = bench.fault(unit, shifted(amount), node="TensorLoad", site=0)
    found: Observation = bench.run({"read": fault}, **options)["read"]
    return found


def longer(node: Any) -> Any:
    return ir.tirx.For(node.loop_var, node.min, node.extent + 1, node.kind, node.body)


@pytest.mark.parametrize(("amount", "unit"), [(1, "relu"), (-1, "relu"), (1000, "softmax"), (10**9, "relu")])
def test_a_store_outside_its_buffer_never_happens(either: Any, amount: int, unit: str) -> None:
    seen = either.run({"wild": either.fault(unit, shifted(amount))})["wild"]
    assert seen.outcome == "out-of-bounds"
    assert seen.message.startswith(f"{unit}: store to ")
    assert "index [" in seen.message
    assert "extent [" in seen.message


def test_where_nothing_is_checked_a_store_beside_a_buffer_goes_unseen(unchecked: Any) -> None:
    assert unchecked.run({"wild": unchecked.fault("relu", shifted(1))})["wild"].outcome == "ran"


@pytest.mark.parametrize("amount", [-1, 1, 1000])
def test_a_read_near_its_buffer_finds_two_contents(either: Any, amount: int) -> None:
    seen = read(either, "relu", amount)
    assert seen.outcome == "ran"
    assert seen.memory.startswith("leaves its buffer: relu: load from ")
    assert f"({min(amount, 0) + max(amount, 0)} to {7 + amount})" in seen.memory
    assert seen.again is not None
    assert seen.again.outputs.shape == seen.outputs.shape
    assert not np.array_equal(seen.again.outputs, seen.outputs)


def test_a_read_far_from_its_buffer_is_told(chain: Any) -> None:
    for amount in (FAR, -FAR):
        seen = read(chain, "relu", amount)
        assert (seen.outcome, seen.memory) == ("out-of-bounds", "")
        assert "relu: load from " in seen.message


def test_no_read_may_leave_where_none_is_let_out(strict: Any) -> None:
    seen = read(strict, "relu", 1)
    assert seen.outcome == "out-of-bounds"
    assert "relu: load from " in seen.message


def test_what_is_read_makes_no_difference_where_it_is_dropped(chain: Any) -> None:
    """The one image value that is read from beside the buffer is multiplied by nothing."""

    def dropped(node: Any) -> Any:
        beyond = shifted(8)(node)
        zero = ir.tirx.FloatImm("float32", 0.0)
        return ir.tirx.Add(ir.tirx.Mul(beyond, zero), ir.tirx.Mul(node, ir.tirx.FloatImm("float32", 0.5)))

    seen = chain.run({"dropped": chain.fault("relu", dropped, node="TensorLoad", site=0)})["dropped"]
    assert seen.outcome == "ran"
    assert seen.memory.startswith("leaves its buffer")
    assert seen.again is None


@pytest.mark.parametrize("bounds", ["auto", False])
def test_results_left_unwritten_are_compared_too(chain: Any, unchecked: Any, bounds: Any) -> None:
    bench = chain if bounds else unchecked

    def shorter(node: Any) -> Any:
        return ir.tirx.For(node.loop_var, node.min, node.extent - 1, node.kind, node.body)

    seen = bench.run({"shorter": bench.fault("relu", shorter, node="For")})["shorter"]
    assert seen.memory == "reads memory that nothing has written"
    assert np.isnan(seen.outputs).all()
    assert seen.again is not None
    assert np.isfinite(seen.again.outputs).all()


def test_one_iteration_more_is_caught(chain: Any) -> None:
    seen = chain.run({"longer": chain.fault("relu", longer, node="For")})["longer"]
    assert seen.outcome == "out-of-bounds"


def test_what_stays_inside_computes_the_same(chain: Any, unchecked: Any) -> None:
    def doubled(value: Any) -> Any:
        return ir.tirx.Mul(value, ir.tirx.FloatImm("float32", 2.0))

    for unit in ("multiply", "relu", "matmul", "softmax"):
        one, other = (bench.run({"calm": bench.store(unit, doubled)})["calm"] for bench in (chain, unchecked))
        assert (one.outcome, other.outcome) == ("ran", "ran")
        assert (one.memory, one.again) == ("", None)
        assert one.outputs.tobytes() == other.outputs.tobytes()


def test_a_read_in_a_branch_that_is_not_taken_does_not_count(strict: Any) -> None:
    """The guard of a padding, as TVM writes it."""

    def conditional(node: Any) -> Any:
        index = node.indices[-1]
        beyond = ir.tirx.Add(index, ir.tirx.IntImm(index.ty.dtype, 1))
        inside = ir.tirx.LT(beyond, ir.tirx.IntImm(index.ty.dtype, 8))
        return ir.tirx.if_then_else(inside, ir.tirx.BufferLoad(node.source, [beyond]), node)

    seen = strict.run({"careful": strict.fault("relu", conditional, node="TensorLoad", site=0)})["careful"]
    assert (seen.outcome, seen.message) == ("ran", "")


@pytest.mark.parametrize("bounds", ["auto", pytest.param(True, marks=pytest.mark.slow)])
def test_vectors_of_computed_indices_are_checked_lane_by_lane(digits: Any, bounds: Any) -> None:
    """An index narrowed to 8 bits wraps: in a vector, lane by lane."""
    plain = digits.toolchain
    checked = Toolchain(plain.model, Llvm(), plain.profile, bounds)
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
    told = [each.message if bounds is True else each.memory for each in seen.values()]
    assert any("Cast" in message and "Ramp" in message for message in told), told


@pytest.mark.parametrize("broken", ["watching", "building"])
def test_checks_that_cannot_be_made_are_no_fault_of_the_mutant(
    digits: Any, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    def fail(function: Any, **_: Any) -> Any:
        raise ValueError("no such check")

    def misfit(function: Any, **_: Any) -> Any:
        nowhere = ir.tirx.call_extern("int32", "nowhere_at_all", ir.tirx.IntImm("int32", 1))
        return function.with_body(ir.tirx.SeqStmt([ir.tirx.Evaluate(nowhere), function.body])), ()

    monkeypatch.setattr("mutatenn.compiler.lowering.watch", fail if broken == "watching" else misfit)
    fresh = with_bounds(digits, "auto")
    faint = fresh.store("softmax", lambda value: ir.tirx.Mul(value, ir.tirx.FloatImm("float32", 0.25)))
    seen = fresh.run({"faint": faint})["faint"]
    assert seen.outcome == "infrastructure-error"
    assert "please report this" in seen.message
