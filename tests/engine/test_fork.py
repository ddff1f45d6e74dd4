"""Every mutant gets its own observation, whatever it does, and nobody else is harmed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import attrs
import numpy as np
import pytest

from mutatenn import InfrastructureError, Job, Limits, Observation, ir
from mutatenn.engine.evaluate import Evaluator
from mutatenn.engine.executors.fork import Fork
from mutatenn.engine.trial import image_limit, memory_limit

FAR = 2**30
CALM = ("weaker", "stronger", "noop")


def constant(value: float) -> Any:
    return ir.tirx.FloatImm("float32", value)


def times(factor: float) -> Callable[[Any], Any]:
    return lambda value: ir.tirx.Mul(value, constant(factor))


def at_least(bound: float) -> Callable[[Any], Any]:
    return lambda value: ir.tirx.Max(value, constant(bound))


def far_store(node: Any) -> Any:
    index = ir.tirx.Add(node.indices[0], ir.tirx.IntImm(node.indices[0].ty.dtype, FAR))
    return ir.tirx.BufferStore(node.buffer, node.value, [index])


def endless(node: Any) -> Any:
    """Repeat a store that depends on the one before, so that no compiler can skip any."""
    step = ir.tirx.Add(ir.tirx.Mul(node.value, constant(0.5)), ir.tirx.BufferLoad(node.buffer, node.indices))
    body = ir.tirx.BufferStore(node.buffer, step, node.indices)
    start, end = ir.tirx.IntImm("int64", 0), ir.tirx.IntImm("int64", 2**62)
    return ir.tirx.For(ir.tirx.Var("again", "int64"), start, end, ir.tirx.ForKind.SERIAL, body)


def hungry(node: Any) -> Any:
    """Allocate 2 GiB, which the poisoning of a changed kernel's scratch writes, and read some of it."""
    scratch = ir.tirx.decl_buffer((2**29,), "float32", "hoard")
    back = ir.tirx.BufferLoad(scratch, [ir.tirx.IntImm("int64", 5)])
    store = ir.tirx.BufferStore(node.buffer, ir.tirx.Add(node.value, back), node.indices)
    return ir.tirx.SeqStmt([ir.tirx.AllocBuffer(scratch), store])


def undefined(node: Any) -> Any:
    return ir.tirx.BufferStore(node.buffer, ir.tirx.Var("nowhere", "float32"), node.indices)


def forbidden(node: Any) -> Any:
    message = [ir.tvm.ir.StringImm("not today")]
    refuse = ir.tirx.AssertStmt(ir.tirx.IntImm("bool", 0), ir.tvm.ir.StringImm("RuntimeError"), message)
    return ir.tirx.SeqStmt([refuse, node])


def nap(seconds: float) -> Callable[[Any], Any]:
    """Return a change that sleeps before a store, of which softmax makes four, without computing."""

    def change(node: Any) -> Any:
        wait = ir.tirx.call_extern("int32", "usleep", ir.tirx.IntImm("int32", int(seconds * 1e6)))
        return ir.tirx.SeqStmt([ir.tirx.Evaluate(wait), node])

    return change


def die(number: int) -> Callable[[Any], NoReturn]:
    """Return an operator's code that kills its own process."""

    def change(node: Any) -> NoReturn:
        os.kill(os.getpid(), number)
        time.sleep(60)
        raise AssertionError

    return change


def stumble(node: Any) -> NoReturn:
    raise ValueError("no idea\nwhat to do")


def leave(node: Any) -> NoReturn:
    os._exit(3)


def calm(chain: Any) -> dict[str, Any]:
    """Return mutants that behave: two that change the scores, one that changes no bit."""
    return {
        "weaker": chain.store("matmul", times(0.5)),
        "stronger": chain.store("relu", times(2)),
        "noop": chain.store("multiply", at_least(-1e30)),
    }


@pytest.fixture(scope="module")
def calmly(chain: Any) -> dict[str, Observation]:
    """Return what is seen of the mutants that behave when they are among themselves."""
    seen = chain.run(calm(chain))
    assert [seen[name].executed for name in CALM] == [10, 15, 5]
    assert [len(seen[name].rows) for name in CALM] == [5, 5, 0]
    assert [seen[name].infected.all() for name in CALM] == [True, True, False]
    return dict(seen)


def facts(seen: Observation) -> tuple[Any, ...]:
    """Return all of an observation but its times."""
    fields = attrs.asdict(seen, filter=lambda field, _: field.name != "seconds")
    fields["masked"] = tuple(sorted(seen.masked.items()))
    return tuple(
        (name, value.tobytes() if isinstance(value, np.ndarray) else value) for name, value in fields.items()
    )


def segfault(node: Any) -> Any:
    fault = ir.tirx.call_extern("int32", "raise", ir.tirx.IntImm("int32", int(signal.SIGSEGV)))
    return ir.tirx.SeqStmt([ir.tirx.Evaluate(fault), node])


BAD: list[tuple[str, Callable[[Any], Any], str, int | None, str]] = [
    ("faults", segfault, "crashed", signal.SIGSEGV, "SIGSEGV"),
    ("far-store", far_store, "out-of-bounds", None, "matmul: store to "),
    ("endless", endless, "timed-out", None, "1 s of processor time"),
    ("forbidden", forbidden, "crashed", None, "matmul: RuntimeError: not today"),
    ("undefined", undefined, "build-error", None, "nowhere"),
    ("stumbles", stumble, "build-error", None, "ValueError: what to do"),
    ("kills-compiler", die(signal.SIGSEGV), "build-error", None, "the compiler died of SIGSEGV"),
    ("aborts-compiler", die(signal.SIGABRT), "build-error", None, "the compiler died of SIGABRT"),
    ("killed", die(signal.SIGKILL), "infrastructure-error", None, "was killed by signal 9 (build phase)"),
    ("leaves", leave, "build-error", None, "ended with exit code 3 (build phase), and again in a fresh"),
]


@pytest.mark.parametrize("workers", [1, 3])
def test_every_fault_has_its_outcome_and_costs_only_itself(
    either: Any, calmly: dict[str, Observation], workers: int
) -> None:
    faults = {name: either.fault("matmul", change) for name, change, *_ in BAD} | calm(either)
    names = random.Random(workers).sample(sorted(faults), len(faults))
    seen = either.run({name: faults[name] for name in names}, workers=workers)
    for name, _, outcome, number, message in BAD:
        assert (seen[name].outcome, seen[name].signal) == (outcome, number), seen[name]
        assert message in seen[name].message
        assert "\n" not in seen[name].message
        assert len(seen[name].rows) == len(seen[name].infected) == len(seen[name].outputs) == 0
    for name in CALM:
        assert facts(seen[name]) == facts(calmly[name])


def test_memory_is_limited(chain: Any, calmly: dict[str, Observation]) -> None:
    limits = Limits(time_floor=5.0, memory_floor=2**29)
    faults = {"hungry": chain.fault("matmul", hungry)} | calm(chain)
    seen = chain.run(faults, limits=limits)
    assert seen["hungry"].outcome == "crashed"
    assert all(facts(seen[name]) == facts(calmly[name]) for name in CALM)


def test_memory_that_an_operator_takes_is_limited(chain: Any) -> None:
    def hoard(node: Any) -> Any:
        return bytearray(2**33) and node

    seen = chain.run({"hoard": chain.fault("matmul", hoard)})["hoard"]
    assert (seen.outcome, seen.message) == ("build-error", "exceeded the memory limit")


def test_nan_is_an_output_like_any_other(either: Any) -> None:
    seen = either.run({"nan": either.store("softmax", lambda value: constant(float("nan")))})["nan"]
    assert (seen.outcome, seen.executed) == ("ran", 5)
    assert np.isnan(seen.patched(either.expected)).all()


def test_the_parent_is_unharmed(chain: Any, calmly: dict[str, Observation]) -> None:
    """Its values live on the same pages as the mutants' copies of them."""
    faults = {name: chain.fault("matmul", change) for name, change, *_ in BAD[:1]}
    faults |= {"wild": chain.store("relu", lambda value: constant(float("nan")))} | calm(chain)
    executor = Fork().run(chain.job(faults, workers=1), list(faults))
    seen = [each for each in executor if each.mutant in CALM]
    assert [facts(each) for each in seen] == [facts(calmly[each.mutant]) for each in seen]
    assert len(seen) == len(CALM)


def test_a_run_is_proven_by_the_calls_it_made(either: Any) -> None:
    for unit in either.toolchain.units:
        derive = either.store(unit, times(3))
        (changed,) = derive().kernels.keys() - either.original.kernels.keys()
        seen = either.run({unit: derive})[unit]
        assert seen.outcome == "ran"
        assert seen.executed >= len(either.images)
        assert changed in seen.kernels


def test_what_computes_the_originals_values_is_equivalent(either: Any) -> None:
    """Renumbered values, or code that nothing reads, are no change."""
    last = either.original.calls[-1]
    spare = len(either.original.values)
    values = (*either.original.values, either.original.values[last.results[0]])
    moved = attrs.evolve(
        either.original,
        values=values,
        output=spare,
        calls=(*either.original.calls[:-1], attrs.evolve(last, results=(spare,))),
    )
    unused = attrs.evolve(
        either.original, values=values, calls=(*either.original.calls, attrs.evolve(last, results=(spare,)))
    )
    programs = {"same": either.original, "moved": moved, "unused": unused}
    seen = either.run({name: lambda name=name: programs[name] for name in programs})
    assert {each.outcome for each in seen.values()} == {"equivalent"}
    assert {each.executed for each in seen.values()} == {0}
    reasons = {name: each.message for name, each in seen.items()}
    assert reasons["same"] == "the mutation left the IR structurally equal to the original's"
    assert reasons["moved"] == reasons["unused"] == "lowered, the changed IR is the original's very code"


def test_a_program_that_has_run_is_not_run_again(either: Any) -> None:
    doubled = {"first": either.store("relu", times(2)), "other": either.store("relu", times(3))}
    again = {"second": either.store("relu", times(2)), "third": either.store("relu", times(2))}
    seen = either.run(doubled | again, workers=1)
    assert [seen[name].outcome for name in ("first", "other", "second", "third")] == [
        *["ran"] * 2,
        *["duplicate"] * 2,
    ]
    assert seen["second"].message == seen["third"].message == "first"
    assert seen["second"].program == seen["first"].program != seen["other"].program


def test_a_program_that_crashed_is_run_again(either: Any) -> None:
    """Whatever it did, it may do something else the next time."""
    crash = either.fault("matmul", BAD[0][1])
    seen = either.run({"first": crash, "second": crash}, workers=1)
    assert {each.outcome for each in seen.values()} == {"crashed"}


@pytest.mark.parametrize("how", [signal.SIGABRT, "KeyError"])
def test_what_does_not_fail_again_in_a_fresh_process_is_unstable(
    chain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: Any
) -> None:
    """As from damage to its own memory: it dies, or Python fails in it, at some image or at none."""
    launch = Evaluator.launch

    def stumble(self: Any, step: Any, *rest: Any) -> Any:
        found = launch(self, step, *rest)
        if step.watched and not (tmp_path / "once").exists():
            (tmp_path / "once").touch()
            if how == "KeyError":
                raise KeyError(0)
            os.kill(os.getpid(), how)
        return found

    monkeypatch.setattr(Evaluator, "launch", stumble)
    seen = chain.run({"harmed": chain.store("relu", times(3))})["harmed"]
    assert seen.outcome == "unstable"
    assert "in one process, ran in another" in seen.message
    assert str(how) in seen.message or "SIGABRT" in seen.message


def test_a_removed_last_layer_is_seen(either: Any) -> None:
    logits = either.original.calls[-2].results[0]
    program = attrs.evolve(either.original, output=logits, calls=either.original.calls[:-1])
    seen = either.run({"headless": lambda: program})["headless"]
    assert (seen.outcome, seen.executed) == ("ran", 5)
    assert seen.infected.all()
    assert seen.rows.tolist() == [0, 1, 2, 3, 4]
    assert (seen.outputs.argmax(axis=1) == either.expected.argmax(axis=1)).all()
    assert not np.array_equal(seen.outputs, either.expected)


@pytest.mark.parametrize("output", ["image", "constant", "other"])
def test_an_output_that_cannot_be_one_is_a_build_error(either: Any, output: str) -> None:
    original = either.original
    (weight,) = original.constants
    value = {"image": original.input, "constant": weight, "other": original.calls[0].results[0]}[output]
    values = list(original.values)
    if output != "other":  # let the shape not be the reason
        values[value] = original.values[original.output]
    program = attrs.evolve(original, output=value, values=tuple(values))
    seen = either.run({"odd": lambda: program})["odd"]
    assert seen.outcome == "build-error"
    assert seen.message.startswith("the output became" if output == "other" else "no code is left to run")


def test_a_failure_of_our_own_says_what_failed(either: Any) -> None:
    """Here a program whose call reads a value that nothing gives."""
    first, *others = either.store("multiply", times(3))().calls
    broken = attrs.evolve(either.original, calls=(first, *others[1:]))
    broken = attrs.evolve(broken, calls=(*broken.calls, others[0]))
    seen = either.run({"broken": lambda: broken, **calm(either)})
    assert seen["broken"].outcome in {"build-error", "infrastructure-error"}
    assert "KeyError" in seen["broken"].message
    assert seen["weaker"].outcome == "ran"


def test_no_more_workers_than_asked_for(either: Any, tmp_path: Any) -> None:
    def watch(node: Any) -> Any:
        mine = tmp_path / str(os.getpid())
        mine.touch()
        time.sleep(0.15)
        (tmp_path / f"seen-{len([each for each in tmp_path.iterdir() if each.name.isdigit()])}").touch()
        mine.unlink()
        return node

    either.run({str(n): either.fault("matmul", watch) for n in range(6)}, workers=2)
    assert not (tmp_path / "seen-3").exists()
    assert (tmp_path / "seen-2").exists()


def test_workers_are_at_least_one(chain: Any) -> None:
    with pytest.raises(ValueError, match="workers"):
        chain.job({}, workers=0)


def test_no_mutants_and_no_images_are_fine(either: Any) -> None:
    assert either.run({}) == {}
    none = {"images": either.images[:0], "expected": either.expected[:0]}
    seen = either.run({"weaker": either.store("matmul", times(0.5))}, **none)["weaker"]
    assert (seen.outcome, len(seen.rows), len(seen.infected)) == ("ran", 0, 0)


@pytest.mark.parametrize("enough", [True, False])
def test_an_original_that_does_not_repeat_itself_stops_the_machine(either: Any, enough: bool) -> None:
    expected = either.expected.copy()
    expected[3, 1] += 0.25
    job = {"expected": expected, "noise": 0.3 if enough else 0.1}
    if enough:
        assert either.run(calm(either), **job)["weaker"].outcome == "ran"
    else:
        with pytest.raises(InfrastructureError, match="does not repeat its baseline output on image 3"):
            either.run(calm(either), **job)


def test_an_original_that_gives_nan_stops_the_machine(chain: Any) -> None:
    expected = chain.expected.copy()
    expected[0, 0] = np.nan
    with pytest.raises(InfrastructureError, match="image 0"):
        chain.run({}, expected=expected, noise=1e9)


def test_a_consumer_that_stops_early_leaves_nothing_running(either: Any) -> None:
    """The check that nothing is left is the fixture's, for every test here."""
    faults = {"quick": either.store("softmax", times(2))}
    faults |= {f"endless-{n}": either.fault("matmul", endless) for n in range(3)}
    slow = Limits(time_floor=60.0)
    running = either.executor.run(either.job(faults, workers=3, limits=slow), list(faults))
    start = time.monotonic()
    assert next(running).mutant == "quick"
    running.close()  # type: ignore[attr-defined]  # a generator
    assert time.monotonic() - start < 10


def test_a_consumer_that_fails_leaves_nothing_running(either: Any) -> None:
    faults = {"quick": either.store("softmax", times(2)), "endless": either.fault("matmul", endless)}
    job = either.job(faults, limits=Limits(time_floor=60.0))

    def consume() -> None:
        for _ in either.executor.run(job, list(faults)):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()


def test_a_sleeping_mutant_is_stopped_at_a_multiple_of_its_limit(chain: Any) -> None:
    limits = Limits(time_floor=0.1, time_factor=0)
    faults = {"dozes": chain.fault("softmax", nap(0.1)), "sleeps": chain.fault("softmax", nap(60))}
    seen = chain.run(faults, limits=limits)
    assert seen["dozes"].outcome == "ran"
    assert (seen["sleeps"].outcome, seen["sleeps"].executed) == ("timed-out", 0)
    assert seen["sleeps"].message == "took 1 s, and used less than 0.1 s of processor time"


def test_a_sleeping_operator_is_stopped_too(chain: Any) -> None:
    limits = Limits(build_seconds=0.1)
    seen = chain.run({"sleeps": lambda: time.sleep(60)}, limits=limits)["sleeps"]
    assert seen.outcome == "build-error"
    assert seen.message.startswith("took 1 s")


def computing(steps: int) -> Callable[[Any], Any]:
    """Return a change that computes for some time before it stores."""

    def change(node: Any) -> Any:
        loop = endless(node)
        return ir.tirx.For(loop.loop_var, loop.min, ir.tirx.IntImm("int64", steps), loop.kind, loop.body)

    return change


@pytest.fixture(scope="module")
def tenth(chain: Any) -> Callable[[Any], Any]:
    """Return a change that computes for a tenth of a second on this machine."""
    steps = 3_000_000
    evaluator = Evaluator(chain.toolchain.backend.open())
    program = chain.fault("softmax", computing(steps))()
    linked = evaluator.link(program)
    start = time.process_time()
    evaluator.output(linked, chain.images[0])
    # The time of the other kernels is nothing beside it.
    return computing(int(0.1 * steps / (time.process_time() - start)))


def test_each_image_has_a_limit_of_its_own(chain: Any, tenth: Callable[[Any], Any]) -> None:
    """Ten images of 0.1 s each, 0.5 s allowed for one."""
    repeated = {"images": chain.images.repeat(2, axis=0), "expected": chain.expected.repeat(2, axis=0)}
    limits = Limits(time_floor=0.5, time_factor=0)
    before = os.times().children_user
    seen = chain.run({"slow": chain.fault("softmax", tenth)}, limits=limits, **repeated)["slow"]
    assert (seen.outcome, seen.executed) == ("ran", 10)
    assert os.times().children_user - before > limits.time_floor


def test_time_that_the_consumer_takes_is_not_the_mutants(chain: Any, tenth: Callable[[Any], Any]) -> None:
    """While nobody reads their messages, mutants run on."""
    repeated = {"images": chain.images.repeat(2, axis=0), "expected": chain.expected.repeat(2, axis=0)}
    faults = {"quick": chain.store("softmax", times(2)), "slow": chain.fault("softmax", tenth)}
    job = chain.job(faults, limits=Limits(time_floor=0.5, time_factor=0), **repeated)
    running = Fork().run(job, list(faults))
    assert next(running).mutant == "quick"
    time.sleep(0.9)  # longer than an image may take
    (slow,) = running
    assert (slow.mutant, slow.outcome) == ("slow", "ran")


def test_a_pause_of_the_whole_campaign_does_not_count(chain: Any, tmp_path: Any) -> None:
    """A suspended machine or parent: what passed meanwhile is not held against a mutant that waits."""
    derived = tmp_path / "derived"

    def doze() -> Any:
        program = chain.fault("softmax", nap(0.2))()
        derived.touch()
        return program

    def quick() -> Any:
        while not derived.exists():
            time.sleep(0.01)
        return chain.store("softmax", times(2))()

    one = {"images": chain.images[:1], "expected": chain.expected[:1]}
    job = chain.job({"quick": quick, "dozes": doze}, limits=Limits(time_floor=0.1), **one)
    running = Fork().run(job, ["quick", "dozes"])
    assert next(running).mutant == "quick"
    time.sleep(1.2)  # longer than a mutant may be stuck, shorter than this one dozes
    (dozes,) = running
    assert (dozes.mutant, dozes.outcome) == ("dozes", "ran")


def test_the_limit_follows_the_original(chain: Any) -> None:
    assert image_limit(chain.job({}), 0.001) == 1.0
    generous = chain.job({}, limits=Limits(time_floor=0, time_factor=1e6))
    assert image_limit(generous, 0.001) == pytest.approx(1e3)
    sizes = sum(spec.nbytes for spec in chain.original.values)
    frugal = chain.job({}, limits=Limits(memory_floor=10, memory_factor=3))
    assert memory_limit(frugal) == 10 + 3 * sizes


def test_reads_out_of_bounds_repeat_in_another_process(chain: Any) -> None:
    def beyond(node: Any) -> Any:
        def shift(load: Any) -> Any:
            index = ir.tirx.Add(load.indices[0], ir.tirx.IntImm(load.indices[0].ty.dtype, 5))
            return ir.tirx.BufferLoad(load.source, [index])

        value = ir.ffi.structural_map(node.value, (ir.tvm.ir.TensorLoad, shift), order="post")
        return ir.tirx.BufferStore(node.buffer, value, node.indices)

    fault = chain.fault("multiply", beyond)
    runs = [chain.run({"beyond": fault}, reuse=reuse)["beyond"] for reuse in (True, True, False)]
    assert runs[0].outcome == "ran"
    assert runs[0].infected.all()
    assert np.isfinite(runs[0].outputs).all()
    assert len({(run.rows.tobytes(), run.outputs.tobytes()) for run in runs}) == 1


def test_reuse_or_not_is_the_jobs_choice(either: Any) -> None:
    faults = {unit: either.store(unit, times(3)) for unit in ("multiply", "softmax")}
    with_reuse, without = (either.run(faults, reuse=reuse) for reuse in (True, False))
    for unit in faults:
        one, other = (attrs.evolve(run[unit], seconds={}) for run in (with_reuse, without))
        assert facts(one) == facts(other)
    noop = {"noop": either.store("multiply", times(1 + 1e-8))}
    assert [either.run(noop, reuse=reuse)["noop"].executed for reuse in (True, False)] == [5, 20]


def test_a_job_of_other_images_is_another_parent(either: Any) -> None:
    job: Job = either.job(calm(either), images=either.images[1:3], expected=either.expected[1:3])
    seen = {each.mutant: each for each in either.executor.run(job, ["weaker"])}["weaker"]
    assert seen.rows.tolist() == [0, 1]
    assert seen.patched(either.expected[1:3]).shape == (2, 4)
