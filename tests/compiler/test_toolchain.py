"""One model for one environment: constants, units at their stages, and mutants derived from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from mutatenn import BuildError, Model, PluginError, Program, ir
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.engine.link import Numbering
from mutatenn_backends.llvm import Llvm
from mutatenn_mutators.paper.relu_to_sigmoid import ReluToSigmoid

STAGES = ("schedulable", "scheduled", "lowered")
Outputs = Callable[..., NDArray[Any]]


def dense(classifier: Any, *weights: NDArray[Any]) -> Model:
    """Return a chain of matrix products, with the weights given."""
    relax = ir.relax
    builder = relax.BlockBuilder()
    image = relax.Var("image", relax.TensorType((1, len(weights[0])), "float32"))
    with builder.function("main", [image]):
        with builder.dataflow():
            value: Any = image
            for weight in weights:
                value = builder.emit(relax.op.matmul(value, relax.const(weight)))
            value = builder.emit_output(value)
        builder.emit_func_output(value)
    return classifier(builder.get())  # type: ignore[no-any-return]


def test_equal_constants_share_a_digest_and_others_do_not(classifier: Any, backend: Any) -> None:
    eye = np.eye(4, dtype=np.float32)
    weights = [eye, eye.copy(), 2 * eye, np.eye(4, 8, dtype=np.float32), np.eye(8, 2, dtype=np.float32)]
    program = Toolchain(dense(classifier, *weights), backend, Profile("basic")).program
    assert len(program.constants) == 4
    first, second = (call.arguments[1] for call in program.calls[:2])
    assert first == second
    again = Toolchain(dense(classifier, eye), backend, Profile("basic")).program
    assert [each.digest for each in again.constants.values()] == [program.constants[first].digest]


@pytest.mark.parametrize(
    "other",
    [np.zeros((2, 8), np.float32), np.zeros((4, 4), np.float16), -np.zeros((4, 4), np.float32)],
    ids=["shape", "dtype", "sign"],
)
def test_a_digest_covers_shape_dtype_and_every_bit(toolchain: Toolchain, other: NDArray[Any]) -> None:
    zero, changed = (
        toolchain._constant(ir.relax.const(value, str(value.dtype)))
        for value in (np.zeros((4, 4), np.float32), other)
    )
    assert zero.digest != changed.digest
    assert changed.value.tobytes() == other.tobytes()


def test_units_are_the_kernels_by_name(unfused: Toolchain) -> None:
    names = [kernel.name for kernel in unfused.program.kernels.values()]
    assert list(unfused.units) == names
    assert len(set(names)) == len(names)


def test_a_unit_at_the_last_stage_is_what_is_built(unfused: Toolchain) -> None:
    for kernel in unfused.program.kernels.values():
        assert ir.ffi.structural_equal(unfused.unit(kernel.name, "lowered"), kernel.ir)


@pytest.mark.parametrize("stage", STAGES)
def test_a_mutant_computes_what_the_changed_code_says(
    toolchain: Toolchain, plus_one: Any, images: Any, outputs: Outputs, stage: Any
) -> None:
    """Softmax's last store is the output itself."""
    expected = outputs(toolchain.program, images)
    last = len(plus_one.sites(toolchain.unit("softmax", stage))) - 1
    program, (change,) = toolchain.derive(plus_one, stage, {"softmax": [last]})
    assert change.unit == "softmax"
    assert change.before != change.after
    np.testing.assert_array_equal(outputs(program, images), expected + np.float32(1))
    np.testing.assert_array_equal(outputs(toolchain.program, images), expected)


def test_the_backends_schedule_stands_between_the_stages(
    model: Model, backend: Any, plus_one: Any, images: Any, outputs: Outputs
) -> None:
    toolchain = Toolchain(model, _vectorising(backend), Profile())
    plain = Toolchain(model, backend, Profile())
    changed = {
        name
        for name in toolchain.units
        if not ir.ffi.structural_equal(toolchain.unit(name, "schedulable"), toolchain.unit(name, "scheduled"))
    }
    assert changed == {"reshape"}
    assert toolchain.program.kernels.keys() ^ plain.program.kernels.keys() != set()
    assert "T.vectorized" in toolchain.unit("reshape", "scheduled").script()
    expected = outputs(toolchain.program, images)
    np.testing.assert_array_equal(outputs(plain.program, images), expected)
    mutant, _ = toolchain.derive(_times_zero(plus_one), "scheduled", {"reshape": [0]})
    assert not np.array_equal(outputs(mutant, images), expected)


def _vectorising(backend: Any) -> Any:
    def vectorise(function: Any) -> Any:
        schedule = ir.s_tir.Schedule(function)
        blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
        if schedule.get(blocks[0]).name_hint == "T_reshape":
            _, inner = schedule.split(schedule.fuse(*schedule.get_loops(blocks[0])), [None, 4])
            schedule.vectorize(inner)
        return schedule.mod["main"]

    @attrs.frozen(kw_only=True)
    class Vectorising(type(backend)):  # type: ignore[misc]
        def schedule(self, function: Any) -> Any:
            return vectorise(function)

    return Vectorising()


def _times_zero(rewrite: Any) -> Any:
    return attrs.evolve(
        rewrite,
        change=lambda node: ir.tirx.BufferStore(node.buffer, ir.tirx.FloatImm("float32", 0.0), node.indices),
    )


def test_several_sites_change_together(toolchain: Toolchain, plus_one: Any, rewrite: Any) -> None:
    before = toolchain.unit("softmax", "lowered")
    everywhere = range(len(plus_one.sites(before)))
    program, (change,) = toolchain.derive(plus_one, "lowered", {"softmax": everywhere})
    assert change.after.count("T.float32(1.0)") - change.before.count("T.float32(1.0)") == len(everywhere)
    one_by_one = [toolchain.derive(plus_one, "lowered", {"softmax": [site]})[0] for site in everywhere]
    numbering = Numbering()
    names = {numbering.program(each)[each.output] for each in (toolchain.program, program, *one_by_one)}
    assert len(names) == len(everywhere) + 2


def test_several_units_change_together(
    toolchain: Toolchain, plus_one: Any, images: Any, outputs: Outputs
) -> None:
    program, changes = toolchain.derive(plus_one, "lowered", {"softmax": [5], "reshape": [0]})
    assert [change.unit for change in changes] == ["softmax", "reshape"]
    both = program.kernels.keys() - toolchain.program.kernels.keys()
    assert sorted(program.kernels[digest].name for digest in both) == ["reshape", "softmax"]


def test_a_unit_shared_by_calls_changes_in_all_of_them(unfused: Toolchain, plus_one: Any) -> None:
    shared = [call.kernel.name for call in unfused.program.calls]
    name = max(shared, key=shared.count)
    assert shared.count(name) > 1
    program, _ = unfused.derive(plus_one, "lowered", {name: [0]})
    pairs = list(zip(unfused.program.calls, program.calls, strict=True))
    assert all((mine.arguments, mine.results) == (its.arguments, its.results) for mine, its in pairs)
    changed = [mine.kernel.name for mine, its in pairs if mine.kernel.digest != its.kernel.digest]
    assert changed == [name] * shared.count(name)


def same_output(one: Program, other: Program) -> bool:
    numbering = Numbering()
    return numbering.program(one)[one.output] == numbering.program(other)[other.output]


@pytest.mark.parametrize("stage", STAGES)
def test_a_change_of_nothing_is_the_original(toolchain: Toolchain, nothing: Any, stage: Any) -> None:
    program, changes = toolchain.derive(nothing, stage, {"softmax": [0], "mean": [0]})
    assert changes == []
    assert same_output(program, toolchain.program)


def test_a_change_that_lowering_undoes_is_the_original(toolchain: Toolchain, rewrite: Any) -> None:
    """Adding the integer 0 to an index: another text, the same code."""
    more = rewrite(
        nodes=("BufferStore",),
        change=lambda node: ir.tirx.BufferStore(
            node.buffer,
            node.value,
            [*node.indices[:-1], ir.tirx.Add(node.indices[-1], _zero(node.indices[-1]))],
        ),
    )
    last = len(more.sites(toolchain.unit("softmax", "schedulable"))) - 1
    program, changes = toolchain.derive(more, "schedulable", {"softmax": [last]})
    assert len(changes) == 1
    assert same_output(program, toolchain.program)


def _zero(index: Any) -> Any:
    return ir.tirx.IntImm(index.ty.dtype, 0)


def test_deriving_leaves_the_original_alone(toolchain: Toolchain, plus_one: Any) -> None:
    def state() -> Any:
        units = {
            (name, stage): ir.ffi.structural_hash(toolchain.unit(name, stage))
            for name in toolchain.units
            for stage in STAGES
        }
        calls = [attrs.astuple(call, recurse=False) for call in toolchain.program.calls]
        return units, calls, toolchain.program.output, ir.ffi.structural_hash(toolchain.model.module)

    before = state()
    for stage in STAGES:
        toolchain.derive(plus_one, stage, {"softmax": [0]})
    toolchain.derive(ReluToSigmoid(), "graph", {"main": [0]})
    assert state() == before


def test_a_graph_mutant_shares_the_kernels_it_did_not_change(toolchain: Toolchain) -> None:
    program, (change,) = toolchain.derive(ReluToSigmoid(), "graph", {"main": [6]})
    assert "R.sigmoid" in change.after
    assert "R.sigmoid" not in change.before
    new = program.kernels.keys() - toolchain.program.kernels.keys()
    assert [program.kernels[digest].name for digest in new] == ["fused_conv2d6_add4_tir_sigmoid"]
    constants = {each.digest for each in toolchain.program.constants.values()}
    assert {each.digest for each in program.constants.values()} == constants


def test_a_site_that_does_not_exist_is_an_index_error(toolchain: Toolchain, plus_one: Any) -> None:
    with pytest.raises(IndexError):
        toolchain.derive(plus_one, "lowered", {"softmax": [99]})


def test_what_the_compiler_cannot_lower_is_a_build_error(toolchain: Toolchain, rewrite: Any) -> None:
    endless = ir.tirx.Var("endless", "int64")
    broken = rewrite(
        nodes=("For",),
        change=lambda node: ir.tirx.For(
            node.loop_var, node.min, endless, ir.tirx.ForKind.UNROLLED, node.body
        ),
    )
    with pytest.raises(BuildError, match="Cannot unroll non-constant loop"):
        toolchain.derive(broken, "schedulable", {"softmax": [0]})


def test_a_graph_the_compiler_rejects_is_a_build_error(classifier: Any, backend: Any) -> None:
    """There is no subtraction of truth values."""
    relax = ir.relax
    builder = relax.BlockBuilder()
    image = relax.Var("image", relax.TensorType((1, 2), "float32"))
    with builder.function("main", [image]):
        with builder.dataflow():
            flags = relax.const(np.ones(2, np.bool_), "bool")
            nonsense = builder.emit(relax.op.subtract(flags, flags))
            scores = builder.emit_output(relax.op.where(nonsense, image, image))
        builder.emit_func_output(scores)
    with pytest.raises(BuildError, match="boolean subtract"):
        Toolchain(classifier(builder.get()), backend, Profile())


def test_a_plugins_schedule_that_fails_is_the_plugins_mistake(model: Model, backend: Any) -> None:
    @attrs.frozen(kw_only=True)
    class Failing(type(backend)):  # type: ignore[misc]
        def schedule(self, function: Any) -> Any:
            raise ValueError("no rule")

    with pytest.raises(PluginError, match="schedule raised ValueError: no rule"):
        Toolchain(model, Failing(), Profile())


def test_what_cannot_be_lowered_as_scheduled_is_lowered_as_it_was(model: Model, toolchain: Toolchain) -> None:
    @attrs.frozen(kw_only=True)
    class Careless(Llvm):
        def schedule(self, function: Any) -> Any:
            unknown = ir.tirx.Var("unknown", "int64")
            return function.with_body(ir.tirx.SeqStmt([ir.tirx.Evaluate(unknown), function.body]))

    careless = Toolchain(model, Careless(), Profile())
    assert list(careless.program.kernels) == list(toolchain.program.kernels)


def test_the_calls_of_a_program_can_run_in_order(unfused: Toolchain) -> None:
    program = unfused.program
    ready = {program.input, *program.constants}
    for call in program.calls:
        assert set(call.arguments) <= ready
        assert ready.isdisjoint(call.results)
        ready.update(call.results)
    assert ready == set(range(len(program.values)))
    assert program.output in ready
