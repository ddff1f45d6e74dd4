"""``mutatenn show --source``: what a mutant changes in generated code."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mutatenn
from mutatenn.analysis.mutant.code_diff import pair_kernels

Command = Callable[..., Any]
KINDS = ["llvm", "asm"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_code_of_the_changed_kernel(finished: Any, command: Command, kind: str) -> None:
    done = command("show", finished.directory, "store-int16", "--source", kind)
    assert (done.code, done.err) == (0, "")
    head, *lines = done.out.splitlines()
    assert head == f"{mutatenn.open_run(finished.directory).mutant('store-int16').id} in cpu, {kind}:"
    assert lines[:2] == [f"--- original/softmax.{kind}", f"+++ mutant/softmax.{kind}"]
    conversion = {"llvm": ["fptosi"], "asm": ["cvttps2dq", "fcvtz"]}[kind]
    assert any(line.startswith("+ ") and any(word in line for word in conversion) for line in lines)
    assert not any("\t" in line or "?" in line for line in lines)


def test_poisoned_scratch_memory_is_not_shown(finished: Any, command: Command) -> None:
    (shown,) = json.loads(
        command("show", finished.directory, "store-int16", "--source", "llvm", "--json").out
    )
    added = [line for line in shown["diff"].splitlines() if line.startswith("+")]
    assert added
    assert not any("0x7FF8" in line for line in added), "no NaN is stored that the operator did not store"


@pytest.mark.slow
def test_a_change_that_the_compiler_undoes(write: Any, command: Command, tmp_path: Path) -> None:
    campaign = write(mutations='[[mutations]]\noperator = "store-times-one-plus-epsilon"\nsites = [0]\n')
    assert " equivalent 1 " in command("run", campaign, "--out", tmp_path / "run").out
    for kind in KINDS:
        done = command("show", tmp_path / "run", "store-times", "--source", kind)
        assert done.out.splitlines()[1:] == ["the code is the original's"]
        (shown,) = json.loads(
            command("show", tmp_path / "run", "store-times", "--source", kind, "--json").out
        )
        assert (shown["environment"], shown["kind"], shown["diff"]) == ("cpu", kind, "")


def test_a_kernel_the_original_does_not_have(finished: Any, command: Command) -> None:
    lines = command("show", finished.directory, "transpose", "--source", "asm").out.splitlines()
    start = lines.index("--- (none)")
    assert lines[start + 1].startswith("+++ mutant/transpose")
    rest = lines[start + 3 :]
    end = next((index for index, line in enumerate(rest) if line.startswith("---")), len(rest))
    assert {line[0] for line in rest[:end]} == {"+"}


def test_a_terminal_gets_colours(finished: Any, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = command("show", finished.directory, "store-int16", "--source", "llvm").out
    assert any(line.startswith("\x1b[32m+ ") and "fptosi" in line for line in shown.splitlines())


@pytest.mark.parametrize(
    ("options", "cure"),
    [
        (["--source", "llvn"], "unknown kind of code 'llvn'; did you mean 'llvm'?"),
        (["--source", "cuda"], "unknown kind of code 'cuda'; known: asm, llvm"),
        (["--source", "asm", "--image", "0_000.png"], "--image goes with --trace"),
    ],
)
def test_wrong_use(finished: Any, command: Command, options: list[str], cure: str) -> None:
    done = command("show", finished.directory, "store-int16", *options)
    assert done.code == 2
    assert cure in done.err
    assert len(done.err.splitlines()) == 1


def test_trace_or_source_but_not_both(finished: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        mutatenn.cli.main.main(["show", str(finished.directory), "x", "--trace", "--source", "asm"])
    assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


def test_another_model_is_refused(finished: Any, command: Command, tmp_path: Any) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished.directory, copy)
    campaign = copy / "campaign.toml"
    campaign.write_text(campaign.read_text().replace("mean = 127.5", "mean = 120.0"))
    done = command("show", copy, "store-int16", "--source", "asm")
    assert done.code == 2
    assert "have changed since it ran" in done.err


def program(*kernels: mutatenn.Kernel) -> mutatenn.Program:
    calls = tuple(
        mutatenn.Call(kernel, (position,), (position + 1,)) for position, kernel in enumerate(kernels)
    )
    values = tuple(mutatenn.TensorSpec("v", (1,)) for _ in range(len(kernels) + 1))
    return mutatenn.Program(values, 0, len(kernels), {}, calls)


def test_kernels_are_paired_in_the_order_of_the_calls() -> None:
    a, b, c, d = (mutatenn.Kernel(letter, f"kernel {letter}") for letter in "abcd")
    twice = pair_kernels(program(a, b, a, c), program(d, b, d, c))
    assert twice == [(a, d)]
    assert pair_kernels(program(a, b), program(a, c, b)) == [(None, c)]
    assert pair_kernels(program(a, b), program(a)) == [(b, None)]
    assert pair_kernels(program(a, b), program(a, b)) == []


def test_kernels_are_shown_without_what_only_mutants_get() -> None:
    a, plain = mutatenn.Kernel("a", "kernel"), mutatenn.Kernel("p", "kernel")
    poisoned = mutatenn.Kernel("n", "kernel", plain=plain)
    assert pair_kernels(program(a), program(poisoned)) == [(a, plain)]


def test_the_code_of_a_gpu_that_this_machine_need_not_have(
    write: Any, command: Command, tmp_path: Any
) -> None:
    campaign = write(
        mutations='[[mutations]]\noperator = "lt-to-le"\nstage = "lowered"\n',
        tail='[[environments]]\nname = "gpu"\nbackend = "cuda"\noptions = { arch = "sm_90" }\n',
    )
    command("run", campaign, "--out", tmp_path / "run")
    done = command("show", tmp_path / "run", "lt-to-le.max_pool2d.0", "--source", "cuda")
    lines = done.out.splitlines()
    assert "-  if (((int)threadIdx.x) < 512) {" in lines
    assert "+  if (((int)threadIdx.x) <= 512) {" in lines
    refused = command("show", tmp_path / "run", "lt-to-le.max_pool2d.0", "--source", "llvm")
    assert "unknown kind of code 'llvm'; known: cuda, ptx" in refused.err
