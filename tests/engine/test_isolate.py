"""Work that may crash runs in a child process; what happened to it is told."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutatenn import InfrastructureError, InputError, locks
from mutatenn.engine import caretaker, isolate
from mutatenn.engine.isolate import call_isolated

MEMORY = 2**28


def test_a_result_comes_back() -> None:
    here = os.getpid()
    assert call_isolated(lambda: 6 * 7) == 42
    assert call_isolated(os.getpid) != here
    large = call_isolated(lambda: np.arange(1_000_000))
    assert large.sum() == 499999500000


def test_what_it_changes_stays_there() -> None:
    values = [1]
    assert call_isolated(lambda: values.append(2) or len(values)) == 2
    assert values == [1]


@pytest.mark.parametrize("error", [InputError("no such file"), ValueError("wrong", 3), KeyError("k")])
def test_an_exception_passes_through(error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        call_isolated(fail)
    assert caught.value.args == error.args


def test_an_exception_that_cannot_travel_is_told() -> None:
    class LocalError(Exception):
        pass

    def fail() -> None:
        raise LocalError("with a reason")

    with pytest.raises(InfrastructureError, match="LocalError: with a reason"):
        call_isolated(fail)


def test_an_exception_that_does_not_arrive_is_told() -> None:
    """It can be sent, but not be made again: its constructor wants more."""
    with pytest.raises(InfrastructureError, match="PickyError: 3: with a reason"):
        call_isolated(_fail_pickily)


class PickyError(Exception):
    def __init__(self, number: int, reason: str) -> None:
        super().__init__(f"{number}: {reason}")


def _fail_pickily() -> None:
    raise PickyError(3, "with a reason")


def test_a_result_that_cannot_travel_is_told() -> None:
    with pytest.raises(Exception, match=r"pickle|local object"):  # 3.13 words it anew
        call_isolated(lambda: lambda: 1)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL])
def test_a_death_is_named(number: signal.Signals) -> None:
    with pytest.raises(InfrastructureError, match=f"died of {number.name}"):
        call_isolated(lambda: os.kill(os.getpid(), number))


def test_an_exit_is_named() -> None:
    with pytest.raises(InfrastructureError, match="exit code 7"):
        call_isolated(lambda: os._exit(7))


def started(work: Any) -> isolate.Child:
    child = isolate.fork(work, MEMORY)
    child.go()
    return child


def test_a_child_waits_until_it_is_told_to_go() -> None:
    child = isolate.fork(lambda pipe: isolate.send(pipe, going=True), MEMORY)
    assert not child.pipe.poll(0.3)
    child.go()
    assert isolate.receive(child.pipe) == {"going": True}
    assert child.reap() == (0, 0)


def test_other_threads_do_not_warn() -> None:
    """A progress bar runs in one; Python 3.12 warns of a fork then, and warnings are errors here."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert call_isolated(lambda: 1) == 1
        child = started(lambda pipe: None)
        assert child.reap() == (0, 0)
    finally:
        stop.set()
        thread.join()


def test_a_child_reports_over_its_pipe() -> None:
    def work(pipe: Any) -> None:
        isolate.send(pipe, number=1, text="ä\n", list=[1, 2.5, None])
        isolate.send(pipe, number=2)

    child = started(work)
    assert isolate.receive(child.pipe) == {"number": 1, "text": "ä\n", "list": [1, 2.5, None]}
    assert isolate.receive(child.pipe) == {"number": 2}
    with pytest.raises(EOFError):
        isolate.receive(child.pipe)
    assert child.reap() == (0, 0)


@pytest.mark.parametrize(
    ("work", "end"),
    [
        (lambda pipe: os._exit(5), (5, 0)),
        (lambda pipe: (os.write(1, b"out"), os.write(2, b"error")), (0, 0)),
        (lambda pipe: 1 / 0, (1, 0)),
        (lambda pipe: os.kill(os.getpid(), signal.SIGSEGV), (0, signal.SIGSEGV)),
        (lambda pipe: os.abort(), (0, signal.SIGABRT)),
    ],
    ids=["exit", "talk", "exception", "segfault", "abort"],
)
def test_a_childs_end_is_told_and_nothing_it_says(work: Any, end: tuple[int, int], capfd: Any) -> None:
    assert started(work).reap() == end
    assert capfd.readouterr() == ("", "")


def test_a_dead_child_keeps_its_status_when_killed() -> None:
    child = started(lambda pipe: os.kill(os.getpid(), signal.SIGSEGV))
    with pytest.raises(EOFError):
        isolate.receive(child.pipe)
    child.kill()
    assert child.reap() == (0, signal.SIGSEGV)


def test_a_child_that_does_not_end_can_be_killed() -> None:
    child = started(lambda pipe: time.sleep(60))
    child.kill()
    assert child.reap() == (0, signal.SIGKILL)


def test_an_interrupt_is_the_parents_business() -> None:
    def work(pipe: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        isolate.send(pipe, alive=True)

    child = started(work)
    assert isolate.receive(child.pipe) == {"alive": True}
    assert child.reap() == (0, 0)


def test_processor_time_counts_and_sleep_does_not() -> None:
    def work(pipe: Any) -> None:
        while time.process_time() < 0.3:
            pass
        isolate.send(pipe, used=time.process_time())
        time.sleep(60)

    child = started(work)
    used = isolate.receive(child.pipe)["used"]
    time.sleep(0.3)
    assert child.cpu_seconds() == pytest.approx(used, abs=0.1)
    child.kill()
    child.reap()


def test_memory_beyond_the_limit_is_refused() -> None:
    def work(pipe: Any) -> None:
        held = bytearray(MEMORY // 2)
        try:
            bytearray(2 * MEMORY)
        except MemoryError:
            isolate.send(pipe, refused=True, held=len(held))

    child = started(work)
    assert isolate.receive(child.pipe) == {"refused": True, "held": MEMORY // 2}
    assert child.reap() == (0, 0)


@pytest.mark.parametrize("kind", ["fork", "call"])
def test_children_die_with_their_parent(kind: str, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        "import os, signal, sys, threading, time\n"
        "from mutatenn.engine import isolate\n"
        "def work(*pipe):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(60)\n"
        "def told(pipe):\n"
        "    isolate.send(pipe, pid=os.getpid())\n"
        "    time.sleep(60)\n"
        "if sys.argv[1] == 'fork':\n"
        "    child = isolate.fork(told, 2**28)\n"
        "    child.go()\n"
        "    print(isolate.receive(child.pipe)['pid'], flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()\n"
        "isolate.call_isolated(work)\n"
    )
    command = [sys.executable, str(script), kind]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    child = int(ended.stdout)
    deadline = time.monotonic() + 10
    while _runs(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(child)


HARD = """
import os, sys, tempfile, time
from mutatenn.engine import isolate, orphans
from mutatenn.engine.caretaker import caretaker
def work(*pipe):
    with tempfile.TemporaryDirectory() as folder:
        if os.fork() == 0:
            os.setsid()
            with open(sys.argv[2], "w") as told:
                print(os.getpid(), folder, file=told)
        time.sleep(60)
with caretaker():
    if sys.argv[1] == "call":
        isolate.call_isolated(work)
    isolate.fork(work, 2**28, orphans.Herd().mark()).go()
    time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["fork", "call"])
def test_a_killed_campaign_leaves_nothing_behind(kind: str, tmp_path: Path) -> None:
    """Not even what has left its group and session, nor a temporary file."""
    told, temporary = tmp_path / "told", tmp_path / "temporary"
    temporary.mkdir()
    where = {**os.environ, "TMPDIR": str(temporary)}
    with subprocess.Popen([sys.executable, "-c", HARD, kind, str(told)], env=where) as process:
        while not (told.exists() and told.read_text().endswith("\n")):
            assert process.poll() is None
            time.sleep(0.02)
        process.kill()
    pid, folder = told.read_text().split()
    assert Path(folder).is_relative_to(temporary)
    deadline = time.monotonic() + 10
    while (_runs(int(pid)) or list(temporary.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(int(pid))
    assert list(temporary.iterdir()) == []


def test_what_a_dead_campaign_left_is_removed_by_the_next(tmp_path: Path, monkeypatch: Any) -> None:
    """Its caretaker was killed along with it; those of the living stay."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with caretaker.caretaker():
        (ours,) = tmp_path.iterdir()
        left = tmp_path / f"{caretaker.PREFIX}left"
        left.mkdir()
        (left / "kernel.o").touch()
        caretaker.tidy(tmp_path)
        assert list(tmp_path.iterdir()) == [ours]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """What it has started does not hold it."""
    lock = locks.take(tmp_path / "lock")
    with isolate.isolated(lambda: time.sleep(60)):
        with pytest.raises(BlockingIOError):
            locks.take(tmp_path / "lock")
        locks.release(lock)
        locks.release(_taken(tmp_path / "lock"))


def _taken(path: Path) -> int:
    """Return a lock, within the moment that a process needs from its birth until it lets go."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            return locks.take(path)
        time.sleep(0.01)
    raise AssertionError


def test_a_child_has_no_file_of_its_parents(tmp_path: Path) -> None:
    """It can write wherever it likes."""
    with open(tmp_path / "results", "w") as results, open(tmp_path / "kept", "w") as kept:

        def work(pipe: Any) -> None:
            os.write(results.fileno(), b"garbage")
            os.write(kept.fileno(), b"sense")

        child = isolate.fork(work, MEMORY, keep=[kept])
        child.go()
        assert child.reap() == (0, 0)
    assert [path.read_text() for path in (tmp_path / "results", tmp_path / "kept")] == ["", "sense"]


def test_a_limit_beyond_the_systems_is_the_systems() -> None:
    def look() -> Any:
        most = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + 2**30
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        child = isolate.fork(
            lambda pipe: isolate.send(pipe, limits=resource.getrlimit(resource.RLIMIT_AS)), 2**50
        )
        child.go()
        told = isolate.receive(child.pipe)["limits"]
        return told == [most, most], child.scarce, child.reap()

    assert call_isolated(look) == (True, True, (0, 0))


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # whoever adopted it may take its time to wait for it


class Nameless(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "text"), [(SystemExit(0), "SystemExit: 0"), (Nameless(), r"Nameless: \(it cannot be shown\)")]
)
def test_what_would_end_the_process_is_told(error: BaseException, text: str) -> None:
    def leave() -> None:
        raise error

    with pytest.raises(InfrastructureError, match=text):
        call_isolated(leave)
