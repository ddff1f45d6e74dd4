"""Hundreds of mutants that do their worst, among as many that behave."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn import Limits, ir
from mutatenn.compiler.toolchain import Toolchain

HUNDREDS = 25  # of each of the eight kinds
LIMITS = Limits(time_floor=1.0, build_seconds=20.0)
Change = Callable[[Any], Any]


def number(value: float) -> Any:
    return ir.tirx.FloatImm("float32", value)


def call(function: str, *arguments: int) -> Change:
    """Return a change that calls a C function before a store."""

    def change(node: Any) -> Any:
        numbers = [ir.tirx.IntImm("int32", argument) for argument in arguments]
        return ir.tirx.SeqStmt([ir.tirx.Evaluate(ir.tirx.call_extern("int32", function, *numbers)), node])

    return change


def shifted(amount: int) -> Change:
    def change(node: Any) -> Any:
        index = ir.tirx.Add(node.indices[0], ir.tirx.IntImm(node.indices[0].ty.dtype, amount))
        return ir.tirx.BufferStore(node.buffer, node.value, [index])

    return change


def endless(node: Any) -> Any:
    step = ir.tirx.Add(ir.tirx.Mul(node.value, number(0.5)), ir.tirx.BufferLoad(node.buffer, node.indices))
    body = ir.tirx.BufferStore(node.buffer, step, node.indices)
    start, end = ir.tirx.IntImm("int64", 0), ir.tirx.IntImm("int64", 2**62)
    return ir.tirx.For(ir.tirx.Var("again", "int64"), start, end, ir.tirx.ForKind.SERIAL, body)


def greedy(node: Any) -> Any:
    """Allocate 20 GiB, which is poisoned, and read some of it."""
    scratch = ir.tirx.decl_buffer((5 * 2**30,), "float32", "hoard")
    back = ir.tirx.BufferLoad(scratch, [ir.tirx.IntImm("int64", 5)])
    store = ir.tirx.BufferStore(node.buffer, ir.tirx.Add(node.value, back), node.indices)
    return ir.tirx.SeqStmt([ir.tirx.AllocBuffer(scratch), store])


def not_a_number(node: Any) -> Any:
    return ir.tirx.BufferStore(node.buffer, number(float("nan")), node.indices)


KINDS: dict[str, tuple[Change, str]] = {
    "segfault": (call("raise", 11), "crashed"),
    "endless": (endless, "timed-out"),
    "greedy": (greedy, "crashed"),
    "nan": (not_a_number, "ran"),
    "off-by-one": (shifted(1), "out-of-bounds"),
    "exit": (call("exit", 0), "crashed"),
    "abort": (call("abort"), "crashed"),
    # The machine's out-of-memory killer does the same, so it says nothing about the mutant.
    "kill": (call("raise", 9), "infrastructure-error"),
}


def behaving(factor: float) -> Change:
    def change(node: Any) -> Any:
        return ir.tirx.BufferStore(node.buffer, ir.tirx.Mul(node.value, number(factor)), node.indices)

    return change


@pytest.mark.slow
def test_hundreds_of_hostile_mutants_harm_no_other(chain: Any) -> None:
    plain = chain.toolchain
    checked = Toolchain(plain.model, plain.backend, plain.profile, bounds=True)
    bench = attrs.evolve(chain, toolchain=checked)
    units = list(plain.units)
    hostile = {
        f"{kind}-{n}": bench.fault(units[n % len(units)], change)
        for kind, (change, _) in KINDS.items()
        for n in range(HUNDREDS)
    }
    calm = {
        f"calm-{unit}-{n}": bench.fault(unit, behaving(1 + (n + 1) / 64))
        for unit in units
        for n in range(len(hostile) // len(units))
    }
    assert len(hostile) == len(calm) == 200
    alone = bench.run(calm, limits=LIMITS, workers=2)
    mixed = hostile | calm
    names = random.Random(5).sample(sorted(mixed), len(mixed))
    seen = bench.run({name: mixed[name] for name in names}, limits=LIMITS, workers=2)
    for name in hostile:
        expected = KINDS[name.rpartition("-")[0]][1]
        assert seen[name].outcome in {expected, "duplicate"}, seen[name]
        assert (seen[name].outcome != "duplicate") or expected == "ran"
    for name in calm:
        outcomes = {alone[name].outcome, seen[name].outcome}
        assert outcomes <= {"ran", "duplicate"}
        if outcomes == {"ran"}:
            assert seen[name].infected.tolist() == alone[name].infected.tolist()
            assert np.array_equal(seen[name].outputs, alone[name].outputs, equal_nan=True)
    children = Path(f"/proc/self/task/{Path('/proc/self').resolve().name}/children").read_text()
    assert children.split() == [], "no process is left"
    doctor = subprocess.run([sys.executable, "-m", "mutatenn", "doctor"], capture_output=True, text=True)
    assert doctor.returncode == 0, doctor.stdout
