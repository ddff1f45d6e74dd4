"""A worker keeps its device through many mutants; what one of them breaks is never blamed on another."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn import DeviceLostError, InfrastructureError, InputError, Kernel, Observation, Program, ir
from mutatenn.engine.executors.worker import Worker
from mutatenn_backends.llvm import Cpu, Llvm

CALM = ("weaker", "stronger")


class Eventful(Cpu):
    """A device on which a kernel's launch, or its opening, is an event."""

    def __init__(self, target: Any, event: Callable[[Any, str, int], None]) -> None:
        super().__init__(target)
        self.event = event
        self.tensors: list[Any] = []
        self.launches = 0

    def build(self, kernel: Kernel) -> Any:
        return kernel.digest, super().build(kernel)

    def upload(self, array: Any) -> Any:
        self.tensors.append(super().upload(array))
        return self.tensors[-1]

    def launch(self, built: Any, arguments: Sequence[Any], results: Sequence[Any]) -> None:
        self.launches += 1
        self.event(self, built[0], self.launches)
        super().launch(built[1], arguments, results)


@attrs.frozen(kw_only=True)
class Board(Llvm):
    """This processor as a device that things happen to."""

    name = "board"
    shares_fork = False
    schedules: bool = False
    folder: Path
    event: Callable[[Any, str, int], None] = lambda device, kernel, launches: None
    at_most: int | None = None

    @property
    def places(self) -> int | None:
        return self.at_most

    def open(self) -> Any:
        (self.folder / f"opened-{os.getpid()}").touch()
        return Eventful(self.target(), self.event)

    def opened(self) -> int:
        return len(list(self.folder.glob("opened-*")))


def times(factor: float) -> Callable[[Any], Any]:
    return lambda value: ir.tirx.Mul(value, ir.tirx.FloatImm("float32", factor))


def calm(chain: Any) -> dict[str, Any]:
    return {"weaker": chain.store("matmul", times(0.5)), "stronger": chain.store("relu", times(2))}


def kernel_of(chain: Any, derive: Callable[[], Program]) -> str:
    (changed,) = derive().kernels.keys() - chain.original.kernels.keys()
    return str(changed)


def outputs(seen: Observation) -> tuple[Any, ...]:
    return seen.outcome, seen.executed, seen.rows.tolist(), seen.outputs.tobytes()


@pytest.fixture
def run(chain: Any, tmp_path: Path) -> Any:
    """Return a function that runs mutants on a board; gives what was seen, and the board."""

    def run(faults: dict[str, Any], workers: int = 1, **options: Any) -> tuple[dict[str, Observation], Board]:
        board = Board(folder=tmp_path, **options)
        job = chain.job(faults, backend=board, workers=workers)
        seen = list(Worker().run(job, list(faults)))
        assert sorted(each.mutant for each in seen) == sorted(faults)
        return {each.mutant: each for each in seen}, board

    return run


def test_one_device_serves_many_mutants(chain: Any, run: Any) -> None:
    faults = {f"{unit}-{n}": chain.store(unit, times(n)) for unit in ("relu", "matmul") for n in (2, 3, 4)}
    seen, board = run(faults)
    assert board.opened() == 1
    alone = chain.run(faults)
    assert {name: outputs(seen[name]) for name in faults} == {name: outputs(alone[name]) for name in faults}


def test_no_more_devices_than_there_are_places(chain: Any, run: Any) -> None:
    faults = {str(n): chain.store("relu", times(n)) for n in range(2, 8)}
    _, board = run(faults, workers=4, at_most=2)
    assert board.opened() <= 2


def test_damage_done_by_one_mutant_does_not_reach_the_next(chain: Any, run: Any) -> None:
    """The weights change under the feet of all who come later, without anybody failing."""
    bad = chain.store("multiply", times(5))
    culprit = kernel_of(chain, bad)

    def spoil(device: Any, kernel: str, launches: int) -> None:
        if kernel == culprit:
            device.tensors[0].array.reshape(-1)[0] += 1

    seen, board = run({"bad": bad, **calm(chain)}, event=spoil)
    alone = chain.run(calm(chain))
    assert all(outputs(seen[name]) == outputs(alone[name]) for name in CALM)
    assert seen["bad"].outcome == "ran"
    assert board.opened() >= 2


def test_damage_that_breaks_the_original_is_found_out(chain: Any, run: Any) -> None:
    """The original has not run on the second image yet when the weights change."""
    bad = chain.store("softmax", times(5))
    culprit = kernel_of(chain, bad)

    def spoil(device: Any, kernel: str, launches: int) -> None:
        if kernel == culprit:
            device.tensors[0].array[...] = 0

    seen, _ = run({"bad": bad, **calm(chain)}, event=spoil)
    assert {each.outcome for each in seen.values()} == {"ran"}
    assert seen["bad"].infected.all()


def test_a_late_crash_is_not_blamed_on_the_mutant_that_was_running(chain: Any, run: Any) -> None:
    """The first mutant leaves a trap behind, in which its process is caught during the second one."""
    bad = chain.store("softmax", times(5))
    culprit, last = kernel_of(chain, bad), 2 * len(chain.images)  # each time once more, to compare

    def trap(device: Any, kernel: str, launches: int) -> None:
        device.sprung = getattr(device, "sprung", 0) + (kernel == culprit)
        if device.sprung == last and kernel != culprit:
            os.abort()

    seen, board = run({"bad": bad, **calm(chain)}, event=trap)
    assert [each.outcome for each in seen.values()] == ["ran"] * 3
    assert board.opened() == 2


def test_a_device_that_is_lost_for_a_while_costs_nothing(chain: Any, run: Any, tmp_path: Path) -> None:
    def lose(device: Any, kernel: str, launches: int) -> None:
        mark = tmp_path / "lost"
        if launches == 17 and not mark.exists():
            mark.touch()
            raise DeviceLostError("the board fell silent")

    seen, board = run(calm(chain), event=lose)
    alone = chain.run(calm(chain))
    assert all(outputs(seen[name]) == outputs(alone[name]) for name in CALM)
    assert board.opened() == 2


def test_a_mutant_that_takes_the_device_along_each_time_crashed(chain: Any, run: Any) -> None:
    bad = chain.store("matmul", times(7))
    culprit = kernel_of(chain, bad)

    def lose(device: Any, kernel: str, launches: int) -> None:
        if kernel == culprit:
            raise DeviceLostError("the board fell silent")

    seen, _ = run({"bad": bad, **calm(chain)}, event=lose)
    assert seen["bad"].outcome == "crashed"
    assert "lost its device 3 times" in seen["bad"].message
    assert "the board fell silent" in seen["bad"].message
    assert [seen[name].outcome for name in CALM] == ["ran", "ran"]


def test_a_process_that_somebody_kills_costs_nothing(chain: Any, run: Any, tmp_path: Path) -> None:
    def kill(device: Any, kernel: str, launches: int) -> None:
        mark = tmp_path / "killed"
        if kernel not in chain.original.kernels and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    seen, board = run(calm(chain), event=kill)
    alone = chain.run(calm(chain))
    assert all(outputs(seen[name]) == outputs(alone[name]) for name in CALM)
    assert board.opened() == 2


def test_a_process_that_is_killed_every_time_is_no_verdict(chain: Any, run: Any) -> None:
    bad = chain.store("matmul", times(7))
    culprit = kernel_of(chain, bad)

    def kill(device: Any, kernel: str, launches: int) -> None:
        if kernel == culprit:
            os.kill(os.getpid(), signal.SIGKILL)

    seen, board = run({"bad": bad, **calm(chain)}, event=kill)
    assert (seen["bad"].outcome, [seen[name].outcome for name in CALM]) == (
        "infrastructure-error",
        ["ran"] * 2,
    )
    assert "killed by signal 9" in seen["bad"].message
    assert board.opened() == 4


def test_a_device_that_stays_away_is_no_verdict(chain: Any, run: Any) -> None:
    def lose(device: Any, kernel: str, launches: int) -> None:
        raise DeviceLostError("the board fell silent")

    with pytest.raises(InfrastructureError, match=r"no device runs the original: .*the board fell silent"):
        run(calm(chain), event=lose, workers=2)


def test_a_device_that_cannot_be_opened_says_why(chain: Any, tmp_path: Path) -> None:
    @attrs.frozen(kw_only=True)
    class Missing(Board):
        def open(self) -> Any:
            raise InputError("there is no board; plug one in")

    job = chain.job(calm(chain), backend=Missing(folder=tmp_path))
    with pytest.raises(InfrastructureError, match="there is no board; plug one in"):
        list(Worker().run(job, list(CALM)))


def test_the_original_is_checked_in_every_worker(chain: Any, run: Any, tmp_path: Path) -> None:
    """A device that computes otherwise once it was lost is not used again."""
    bad = chain.store("matmul", times(7))
    culprit = kernel_of(chain, bad)

    def drift(device: Any, kernel: str, launches: int) -> None:
        if kernel == culprit:
            raise DeviceLostError("gone")
        if launches == 1 and len(list(tmp_path.glob("opened-*"))) > 1:
            device.tensors[0].array[...] = np.float32(9)

    with pytest.raises(InfrastructureError, match="does not repeat its baseline output"):
        run({"bad": bad}, event=drift)
