"""Values are named by what computes them; a mutant computes only what the original has not."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn import Call, Constant, Kernel, Program, TensorSpec, ir
from mutatenn.engine.choose_kept import choose_kept
from mutatenn.engine.evaluate import Evaluation, Evaluator, KernelError
from mutatenn.engine.link import IMAGE, LinkedProgram, Numbering
from mutatenn.host.plugin_host import PluginHost

Try = Callable[..., Evaluation]


@pytest.fixture(scope="module")
def evaluator(backend: Any) -> Evaluator:
    return Evaluator(backend.open())


@pytest.fixture(scope="module")
def original(evaluator: Evaluator, chain: Any) -> LinkedProgram:
    return evaluator.link(chain.original)


@pytest.fixture
def attempt(evaluator: Evaluator, original: LinkedProgram, chain: Any) -> Try:
    """Run a mutant on one image of the chain."""

    def run(program: Any, image: int = 0, *, reuse: bool = True) -> Evaluation:
        program = program() if callable(program) else program
        known = evaluator.original(original, chain.images[image])
        return evaluator.mutant(evaluator.link(program), known, reuse=reuse)

    return run


def fetch(evaluator: Evaluator, seen: Evaluation) -> Any:
    return evaluator.device.fetch(seen.output).ravel()


def times(factor: float) -> Callable[[Any], Any]:
    return lambda value: ir.tirx.Mul(value, ir.tirx.FloatImm("float32", factor))


def straight(*calls: tuple[str, tuple[int, ...], tuple[int, ...]], output: int) -> Program:
    """Return a program of kernels that are only names; values 0, 1 and 2 are the image and two constants."""
    count = 1 + max(max(results) for _, _, results in calls)
    constants = {index: Constant(f"{index:x}", np.zeros(1, np.float32)) for index in (1, 2)}
    listed = tuple(Call(Kernel(digest, digest, None), *ends) for digest, *ends in calls)
    return Program(tuple(TensorSpec("v", (1,)) for _ in range(count)), 0, output, constants, listed)


def test_an_output_is_numbered_by_kernels_and_inputs_alone() -> None:
    numbering = Numbering()

    def number(*calls: Any, output: int) -> int:
        return numbering.program(straight(*calls, output=output))[output]

    original = number(("a", (0, 1), (3,)), ("b", (3,), (4,)), output=4)
    assert number(("c", (1,), (3,)), ("a", (0, 1), (6,)), ("b", (6,), (5,)), output=5) == original
    numbers = [
        number(("a", (1, 0), (3,)), ("b", (3,), (4,)), output=4),
        number(("a", (0, 2), (3,)), ("b", (3,), (4,)), output=4),
        number(("a", (0, 1), (3,)), ("c", (3,), (4,)), output=4),
        number(("b", (0, 1), (3,)), ("a", (3,), (4,)), output=4),
        number(("a", (0, 1), (3,)), ("b", (3,), (4,)), output=3),
        number(("d", (0, 1), (3, 4)), output=4),
        number(("d", (0, 1), (3, 4)), output=3),
        number(("d", (0, 1), (3, 5)), output=5),
    ]
    assert original not in numbers
    assert numbers[5] == numbers[7]
    assert len(set(numbers)) == len(numbers) - 1


def test_the_leaves_are_the_image_and_the_constants() -> None:
    numbering = Numbering()
    numbers = numbering.program(straight(("a", (0, 1), (3,)), output=3))
    assert numbers[0] == IMAGE
    assert len(set(numbers)) == 4
    assert numbering.program(straight(("b", (2,), (3,)), output=3))[:3] == numbers[:3]


def test_the_original_computes_every_value_once(
    evaluator: Evaluator, original: LinkedProgram, chain: Any
) -> None:
    known = evaluator.original(original, chain.images[0])
    assert len(known.tensors) == 1 + len(chain.original.calls)
    values = {number: evaluator.device.fetch(tensor) for number, tensor in known.tensors.items()}
    np.testing.assert_array_equal(values[IMAGE].ravel(), chain.images[0])
    np.testing.assert_array_equal(values[original.output].ravel(), chain.expected[0])


def test_building_and_uploading_happen_once(chain: Any, backend: Any) -> None:
    class Counting(type(backend.open())):  # type: ignore[misc]
        built: list[str] = []
        uploaded = 0

        def build(self, kernel: Any) -> Any:
            self.built.append(kernel.name)
            return super().build(kernel)

        def upload(self, array: Any) -> Any:
            self.uploaded += 1
            return super().upload(array)

    device = Counting(backend.target())
    evaluator = Evaluator(device)
    for _ in range(2):
        evaluator.link(chain.original)
    assert device.built == ["multiply", "relu", "matmul", "softmax"]
    assert device.uploaded == len(chain.original.constants) == 1
    evaluator.link(chain.store("matmul", times(2))())
    assert device.built[4:] == ["matmul"]


@pytest.mark.parametrize(("unit", "calls"), [("multiply", 4), ("relu", 3), ("matmul", 2), ("softmax", 1)])
def test_a_mutant_runs_its_own_cone_alone(
    attempt: Try, chain: Any, evaluator: Evaluator, unit: str, calls: int
) -> None:
    program = chain.store(unit, times(1.5))()
    seen = attempt(program)
    assert seen.executed == calls
    assert seen.infected
    assert seen.differs
    assert seen.masked == ""
    (changed,) = program.kernels.keys() - chain.original.kernels.keys()
    after = [call.kernel.digest for call in program.calls[-calls:]]
    assert after[0] == changed
    assert seen.kernels == set(after)
    assert not np.array_equal(fetch(evaluator, seen), chain.expected[0])


def test_the_original_as_a_mutant_runs_nothing(attempt: Try, chain: Any, evaluator: Evaluator) -> None:
    seen = attempt(chain.original)
    assert (seen.executed, seen.infected, seen.differs) == (0, False, False)
    assert fetch(evaluator, seen).tolist() == chain.expected[0].tolist()


def test_without_reuse_every_call_runs_and_nothing_else_differs(
    attempt: Try, chain: Any, evaluator: Evaluator
) -> None:
    for unit in chain.toolchain.units:
        program = chain.store(unit, times(1.5))()
        one, other = (attempt(program, reuse=reuse) for reuse in (True, False))
        assert fetch(evaluator, one).tobytes() == fetch(evaluator, other).tobytes()
        assert (one.infected, one.differs) == (other.infected, other.differs)
    assert not attempt(chain.original, reuse=False).infected


def test_a_numeric_no_op_never_infects_and_stops_at_once(attempt: Try, chain: Any) -> None:
    """1 + 1e-8 is 1 in float32."""
    seen = attempt(chain.store("multiply", times(1 + 1e-8)))
    assert (seen.executed, seen.infected, seen.differs) == (1, False, False)
    again = attempt(chain.store("multiply", times(1 + 1e-8)), reuse=False)
    assert (again.infected, again.differs) == (False, False)


def test_a_difference_that_the_next_kernel_removes_dies_out_there(attempt: Try, chain: Any) -> None:
    def deepen(value: Any) -> Any:
        """Change negative numbers, which relu drops."""
        return ir.tirx.Min(value, ir.tirx.Mul(value, ir.tirx.FloatImm("float32", 3.0)))

    negative = chain.store("multiply", deepen)
    assert chain.images[0].min() < 0 < chain.images[0].max()
    seen = attempt(negative)
    assert (seen.executed, seen.infected, seen.differs) == (2, True, False)
    without = attempt(negative, reuse=False)
    assert (without.infected, without.differs) == (True, False)
    assert seen.masked == without.masked == "relu"


def test_a_difference_that_its_own_kernel_removes_never_infects(digits: Any, backend: Any) -> None:
    """The fused kernel's bias is stored, then relu drops what is below 0."""
    evaluator = Evaluator(backend.open())
    original = evaluator.link(digits.original)
    lower = digits.fault(
        "fused_conv2d6_add4_relu2",
        lambda node: ir.tirx.BufferStore(
            node.buffer,
            ir.tirx.Min(node.value, ir.tirx.Mul(node.value, ir.tirx.FloatImm("float32", 3.0))),
            node.indices,
        ),
        site=3,
    )()
    known = evaluator.original(original, digits.images[0])
    seen = evaluator.mutant(evaluator.link(lower), known)
    assert (seen.executed, seen.infected, seen.differs) == (1, False, False)


def test_nan_differs_from_every_value_but_itself(attempt: Try, chain: Any, evaluator: Evaluator) -> None:
    seen = attempt(chain.store("softmax", lambda value: ir.tirx.FloatImm("float32", float("nan"))))
    assert (seen.executed, seen.infected, seen.differs) == (1, True, True)
    assert np.isnan(fetch(evaluator, seen)).all()


def test_a_kernel_that_writes_too_little_leaves_nan(attempt: Try, chain: Any, evaluator: Evaluator) -> None:
    def shorten(node: Any) -> Any:
        return ir.tirx.For(node.loop_var, node.min, node.extent - 1, node.kind, node.body)

    seen = attempt(chain.fault("softmax", shorten, node="For"))
    scores = fetch(evaluator, seen)
    assert np.isnan(scores).tolist() == [False, False, False, True]
    assert scores[:3].tolist() == chain.expected[0][:3].tolist()


def test_scratch_memory_is_poisoned_too(digits: Any, backend: Any) -> None:
    """Left to the workspace, the last channel would be that of the run before: the original's."""

    def shorten(node: Any) -> Any:
        return ir.tirx.For(node.loop_var, node.min, node.extent - 1, node.kind, node.body)

    evaluator = Evaluator(backend.open())
    original = evaluator.link(digits.original)
    unit = digits.toolchain.unit("fused_conv2d6_add4_relu2", "lowered")
    loops: list[int] = []
    ir.ffi.structural_walk(
        unit.body, (ir.tirx.For, lambda node: loops.append(int(node.extent))), order="post"
    )
    channels = [site for site, extent in enumerate(loops) if extent == 64][1:4]
    known = evaluator.original(original, digits.images[0])
    for site in channels:
        program = evaluator.link(digits.fault("fused_conv2d6_add4_relu2", shorten, node="For", site=site)())
        first, second = (evaluator.mutant(program, known) for _ in range(2))
        assert first.infected
        assert evaluator.device.same(first.output, second.output)


def test_an_output_taken_elsewhere_runs_the_call_that_gives_it(
    attempt: Try, chain: Any, evaluator: Evaluator
) -> None:
    """A removed last layer: everything the mutant needs is known, its output is another all the same."""
    logits = chain.original.calls[-2].results[0]
    for reuse in (True, False):
        program = attrs.evolve(chain.original, output=logits, calls=chain.original.calls[:-1])
        seen = attempt(program, reuse=reuse)
        assert (seen.executed, seen.infected, seen.differs) == (1, True, True)
        assert seen.kernels == {chain.original.calls[-2].kernel.digest}
        scores = np.exp(fetch(evaluator, seen))
        np.testing.assert_allclose(scores / scores.sum(), chain.expected[0], rtol=1e-5)


def test_constants_and_the_image_can_be_outputs(evaluator: Evaluator, chain: Any) -> None:
    for value in (chain.original.input, *chain.original.constants):
        program = evaluator.link(attrs.evolve(chain.original, output=value))
        known = evaluator.original(program, chain.images[0])
        content = evaluator.device.fetch(known.output)
        assert content.shape == chain.original.values[value].shape
        seen = evaluator.mutant(program, known)
        assert (seen.executed, seen.differs) == (0, False)


def test_an_error_in_a_kernel_names_it(attempt: Try, chain: Any) -> None:
    def forbid(node: Any) -> Any:
        message = [ir.tvm.ir.StringImm("not today")]
        refuse = ir.tirx.AssertStmt(ir.tirx.IntImm("bool", 0), ir.tvm.ir.StringImm("RuntimeError"), message)
        return ir.tirx.SeqStmt([refuse, node])

    with pytest.raises(KernelError, match="relu: RuntimeError: not today"):
        attempt(chain.fault("relu", forbid))


@pytest.fixture(scope="module")
def sample(digits: Any) -> dict[str, Program]:
    """Return mutants of every operator that has sites in the bundled classifier, one of each.

    Not of those that may leave a buffer: here they run in the process of the tests.
    """
    rng = random.Random(1)
    programs = {}
    for name, cls in sorted(PluginHost.installed().mutators().items()):
        if cls.level == "kernel" and {"bugs", "loops", "threads"} & set(cls.groups):
            continue
        mutator = cls()
        units = ["main"] if mutator.level == "graph" else list(digits.toolchain.units)
        found = [
            (unit, site)
            for unit in units
            for site in range(len(mutator.sites(digits.toolchain.unit(unit, mutator.stage))))
        ]
        for unit, site in rng.sample(found, min(1, len(found))):
            program, _ = digits.toolchain.derive(mutator, mutator.stage, {unit: [site]})
            programs[f"{name}/{unit}/{site}"] = program
    assert len({name.partition("/")[0] for name in programs}) >= 15
    assert len(programs) >= 15
    return programs


@pytest.mark.slow
def test_reuse_changes_no_bit(digits: Any, backend: Any, sample: dict[str, Program]) -> None:
    evaluator = Evaluator(backend.open())
    original = evaluator.link(digits.original)
    knowns = [evaluator.original(original, image) for image in digits.images[:3]]
    executed = np.zeros(2, int)
    for program in sample.values():
        linked = evaluator.link(program)
        for known in knowns:
            one, other = (evaluator.mutant(linked, known, reuse=reuse) for reuse in (True, False))
            assert fetch(evaluator, one).tobytes() == fetch(evaluator, other).tobytes()
            assert (one.infected, one.differs) == (other.infected, other.differs)
            assert one.masked == other.masked
            executed += one.executed, other.executed
    assert 0 < executed[0] < executed[1]


@pytest.mark.slow
def test_what_is_kept_changes_no_bit(digits: Any, backend: Any, sample: dict[str, Program]) -> None:
    """All values, some, and none but the image and the output."""
    evaluator = Evaluator(backend.open())
    original = evaluator.link(digits.original)
    _, seconds = evaluator.timed(original, digits.images[0])
    some = choose_kept(original, seconds, digits.original.result_bytes // 3)
    assert 0 < len(some) < len(original.makers)
    keeps = (None, some, frozenset())
    for image in digits.images[:3]:
        knowns = [evaluator.original(original, image, keep) for keep in keeps]
        held = [len(known.tensors) for known in knowns]
        assert held == [1 + len(original.makers), 1 + len(some | {original.output}), 2]
        for program in sample.values():
            linked = evaluator.link(program)
            first, *others = (evaluator.mutant(linked, known) for known in knowns)
            for other in others:
                assert fetch(evaluator, other).tobytes() == fetch(evaluator, first).tobytes()
                facts = [(e.executed, e.infected, e.differs, e.masked, e.kernels) for e in (first, other)]
                assert facts[0] == facts[1]


def test_wide_and_cheap_values_are_dropped_first() -> None:
    def value(size: int) -> TensorSpec:
        return TensorSpec("v", (size,))

    calls = (
        Call(Kernel("wide", "wide", None), (0,), (1,)),
        Call(Kernel("narrow", "narrow", None), (1,), (2,)),
        Call(Kernel("dear", "dear", None), (2,), (3,)),
    )
    program = Program((value(1), value(1000), value(10), value(1000)), 0, 3, {}, calls)
    linked = Evaluator(_NoDevice()).link(program)  # type: ignore[arg-type]  # only linked
    seconds = [0.001, 0.001, 0.5]
    numbers = linked.numbers
    assert choose_kept(linked, seconds, program.result_bytes) == set(numbers[1:])
    assert choose_kept(linked, seconds, 4040) == {numbers[2], numbers[3]}
    assert choose_kept(linked, seconds, 100) == {numbers[2]}
    assert choose_kept(linked, seconds, 0) == set()


class _NoDevice:
    """What linking asks of a device, but building nothing."""

    def build(self, kernel: Kernel) -> str:
        return kernel.digest
