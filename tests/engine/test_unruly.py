"""Mutants that break the rules of processes: what they do counts for them alone, and ends with them."""

from __future__ import annotations

import contextlib
import functools
import os
import resource
import signal
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import attrs
import pytest

from mutatenn import Limits, ir
from mutatenn.compiler import kernels
from mutatenn.compiler.cache import KernelCache
from mutatenn.engine import isolate, orphans
from mutatenn.engine.executors.worker import Worker


def number(value: float) -> Any:
    return ir.tirx.FloatImm("float32", value)


def times(node: Any, factor: float = 3.0) -> Any:
    value = ir.tirx.Mul(node.value, number(factor))
    return ir.tirx.BufferStore(node.buffer, value, node.indices)


def first(action: Callable[[], object]) -> Callable[[Any], Any]:
    """Return an operator's code that does something before its change."""

    def change(node: Any) -> Any:
        action()
        return times(node)

    return change


def call(function: str, *arguments: int) -> Callable[[Any], Any]:
    """Return a change that calls a C function before a store."""

    def change(node: Any) -> Any:
        numbers = [ir.tirx.IntImm("int32", argument) for argument in arguments]
        return ir.tirx.SeqStmt([ir.tirx.Evaluate(ir.tirx.call_extern("int32", function, *numbers)), node])

    return change


def fail(error: Exception) -> Callable[[Any], Any]:
    def change(node: Any) -> NoReturn:
        raise error

    return change


def write_everywhere(content: bytes = struct.pack("!i", 6) + b"[1, 2]") -> None:
    for number in range(3, 64):
        with contextlib.suppress(OSError):
            os.write(number, content)


def dawdle() -> None:
    """Write the beginning of a message, and sleep."""
    write_everywhere(struct.pack("!i", 1000) + b"{")
    time.sleep(60)


AGAIN = ", and again in a fresh process"
ENDS: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "operator-exits-0": (first(lambda: os._exit(0)), "build-error", f"exit code 0 (build phase){AGAIN}"),
    "operator-alarms": (first(lambda: os.kill(os.getpid(), signal.SIGALRM)), "build-error", "signal 14"),
    "operator-babbles": (first(write_everywhere), "build-error", "sent a message of no known kind (build"),
    "operator-closes": (first(lambda: os.closerange(3, 64)), "build-error", AGAIN),
    "disk-full": (fail(OSError(28, "No space left")), "infrastructure-error", "OSError: [Errno 28]"),
    "no-right": (fail(PermissionError(13, "No")), "infrastructure-error", "PermissionError: [Errno 13]"),
    "no-module": (fail(ImportError("no such thing")), "infrastructure-error", "ImportError: no such thing"),
    "kernel-exits-0": (call("exit", 0), "crashed", f"exit code 0 (image 0 phase){AGAIN}"),
    "kernel-exits-7": (call("exit", 7), "crashed", f"exit code 7 (image 0 phase){AGAIN}"),
    "kernel-terms": (call("raise", signal.SIGTERM), "crashed", f"signal 15 (image 0 phase){AGAIN}"),
    "kernel-closes": (call("close_range", 3, 64, 0), "crashed", AGAIN),
    "kernel-kills": (call("raise", signal.SIGKILL), "infrastructure-error", "signal 9 (image 0 phase)"),
    "undefined": (call("no_such_function"), "build-error", "undefined symbol no_such_function"),
}
ON_A_DEVICE = ("operator-babbles", "disk-full", "kernel-exits-7", "kernel-closes")


def test_every_end_has_its_outcome(chain: Any) -> None:
    faults = {name: chain.fault("matmul", change) for name, (change, *_) in ENDS.items()}
    seen = chain.run(faults | {"calm": chain.fault("relu", times)})
    assert seen["calm"].outcome == "ran"
    for name, (_, outcome, message) in ENDS.items():
        assert seen[name].outcome == outcome, seen[name]
        assert message in seen[name].message


def test_every_end_has_its_outcome_on_a_device(chain: Any) -> None:
    bench = attrs.evolve(chain, executor=Worker())
    faults = {name: bench.fault("matmul", ENDS[name][0]) for name in ON_A_DEVICE}
    seen = bench.run(faults | {"calm": bench.fault("relu", times)})
    assert seen["calm"].outcome == "ran"
    for name in ON_A_DEVICE:
        assert seen[name].outcome == ENDS[name][1], seen[name]


def test_half_a_message_is_not_waited_for(chain: Any) -> None:
    fault = chain.fault("matmul", first(dawdle))
    seen = chain.run({"dawdles": fault}, limits=Limits(build_seconds=0.2))["dawdles"]
    assert seen.outcome == "build-error"
    assert seen.message == "took 2 s, and used less than 0.2 s of processor time"


def test_an_end_that_does_not_repeat_costs_nothing(chain: Any, tmp_path: Path) -> None:
    """Somebody else has killed the process, or the machine had a bad moment."""

    def once(action: Callable[[], object]) -> Callable[[], None]:
        def act() -> None:
            mark = tmp_path / str(id(action))
            if not mark.exists():
                mark.touch()
                action()

        return act

    odd = {
        "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "ended": lambda: os.kill(os.getpid(), signal.SIGTERM),
        "left": lambda: os._exit(1),
        "babbled": write_everywhere,
    }
    seen = chain.run({name: chain.fault("matmul", first(once(action))) for name, action in odd.items()})
    assert {each.outcome for each in seen.values()} <= {"ran", "duplicate"}


def test_a_process_that_cannot_get_ready_says_why(chain: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system has no files left, say, which is not the mutant's doing."""

    def refuse(own: set[int]) -> None:
        raise OSError(23, "Too many open files in system")

    monkeypatch.setattr(isolate, "part_from", refuse)
    seen = chain.run({"m": chain.fault("matmul", times)})["m"]
    assert seen.outcome == "infrastructure-error"
    assert seen.message == "OSError: [Errno 23] Too many open files in system"


def daemon(folder: Path, *, busy: bool = False) -> Callable[[], None]:
    """Return what leaves a process behind, out of the group and the session, that keeps all it has."""

    def leave() -> None:
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                (folder / str(os.getpid())).touch()
                while busy or not time.sleep(60):
                    pass
            os._exit(0)
        while not list(folder.iterdir()):
            time.sleep(0.001)

    return leave


def bomb() -> None:
    while True:
        os.fork()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("busy", [False, True])
def test_what_a_mutant_leaves_behind_ends_with_it(either: Any, tmp_path: Path, busy: bool) -> None:
    fault = either.fault("matmul", first(daemon(tmp_path, busy=busy)))
    assert either.run({"leaves": fault})["leaves"].outcome == "ran"
    (left,) = tmp_path.iterdir()
    assert gone(int(left.name))


def test_a_process_that_holds_the_pipe_delays_nobody(chain: Any, tmp_path: Path) -> None:
    """It lives on while others are tried, and the mutant that left it died without a word."""

    def leave() -> None:
        daemon(tmp_path)()
        os._exit(3)

    seen = chain.run({"leaves": chain.fault("matmul", first(leave))}, workers=1)["leaves"]
    assert (seen.outcome, seen.message.count("exit code 3")) == ("build-error", 1)


def test_a_copy_of_a_process_speaks_for_nobody_else(chain: Any, tmp_path: Path) -> None:
    """An operator that forks leaves a worker that takes orders as well."""
    bench = attrs.evolve(chain, executor=Worker())
    twice, thrice = functools.partial(times, factor=2.0), functools.partial(times, factor=3.0)
    calm = {"twice": bench.fault("relu", twice), "thrice": bench.fault("relu", thrice)}
    alone = bench.run(calm, workers=1)
    seen = bench.run({"forks": bench.fault("softmax", first(os.fork)), **calm}, workers=1)
    assert seen["forks"].outcome == "ran"
    for name in calm:
        assert (seen[name].outcome, seen[name].executed) == ("ran", alone[name].executed)
        assert seen[name].outputs.tobytes() == alone[name].outputs.tobytes()


@pytest.mark.parametrize("scarce", ["disk", "files", "size"])
def test_a_kernel_that_cannot_be_linked_is_linked_in_memory(
    chain: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scarce: str
) -> None:
    """LLVM ends the process where it cannot write an object file, which is no fault of the mutant's."""
    monkeypatch.setattr(kernels, "kernel_cache", lambda: KernelCache(tmp_path / "cache"))

    def want() -> None:
        if scarce == "disk":
            monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "no such folder"))
        limit = {"files": resource.RLIMIT_NOFILE, "size": resource.RLIMIT_FSIZE}.get(scarce)
        if limit is not None:
            resource.setrlimit(limit, (3, 3))

    factor = {"disk": 5.0, "files": 6.0, "size": 7.0}[scarce]
    seen = chain.run({"m": chain.fault("matmul", lambda node: want() or times(node, factor))})["m"]
    assert seen.outcome == "ran", seen


@pytest.mark.parametrize("place", ["operator", "kernel"])
def test_a_mutant_cannot_fill_the_machine_with_processes(chain: Any, place: str) -> None:
    def fork_on(node: Any) -> Any:
        fork = ir.tirx.Evaluate(ir.tirx.call_extern("int32", "fork"))
        start, end = ir.tirx.IntImm("int64", 0), ir.tirx.IntImm("int64", 2**62)
        loop = ir.tirx.For(ir.tirx.Var("again", "int64"), start, end, ir.tirx.ForKind.SERIAL, fork)
        return ir.tirx.SeqStmt([loop, node])

    fault = chain.fault("matmul", first(bomb) if place == "operator" else fork_on)
    seen = chain.run({"bomb": fault, "calm": chain.fault("relu", times)})
    assert seen["bomb"].outcome == ("build-error" if place == "operator" else "crashed")
    assert seen["bomb"].message == f"started more than {orphans.MOST} processes"
    assert seen["calm"].outcome == "ran"
