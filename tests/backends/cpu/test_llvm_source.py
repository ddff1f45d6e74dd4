"""Generated code as text: the same for the same code, whatever it is called, and free of debugging marks."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import Any

import pytest

from mutatenn import InputError, Kernel, ir
from mutatenn.compiler.kernels import lower_kernel
from mutatenn_backends._cpu.llvm_text import tidy_assembly, tidy_ir
from mutatenn_backends.llvm import Llvm

SCALE = """
@T.prim_func(s_tir=True)
def {name}(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32")):
    for i in range(8):
        B[i] = A[i] {operation}
"""


def scale(operation: str = "* T.float32(2.5)", name: str = "main", backend: Llvm | None = None) -> Kernel:
    function = ir.script.from_source(SCALE.format(operation=operation, name=name))
    return Kernel("0", name, lower_kernel(function, (backend or Llvm()).target()))


@pytest.mark.parametrize("kind", Llvm.sources)
def test_the_name_of_a_kernel_is_not_in_its_code(kind: str) -> None:
    one, other = (Llvm().source(scale(name=name), kind) for name in ("main", "another"))
    assert one == other
    assert "another" not in other


def test_names_of_parameters_are_not_in_machine_code() -> None:
    target = Llvm().target()
    sources = [SCALE.format(operation="* A[i]", name="main"), SCALE.format(operation="* A[i]", name="main")]
    sources[1] = sources[1].replace("A", "argument").replace("B[", "B_other[").replace("B:", "B_other:")
    one, other = (
        Kernel("0", "main", lower_kernel(ir.script.from_source(source), target)) for source in sources
    )
    assert "argument" in Llvm().source(other, "llvm")
    assert Llvm().source(one, "asm") == Llvm().source(other, "asm")


@pytest.mark.parametrize("kind", Llvm.sources)
@pytest.mark.parametrize("operation", ["* T.float32(2.75)", "+ T.float32(2.5)"])
def test_other_code_is_another_text(kind: str, operation: str) -> None:
    assert Llvm().source(scale(), kind) != Llvm().source(scale(operation), kind)


def test_what_the_compiler_finds_equal_is_one_text() -> None:
    assert Llvm().source(scale("+ A[i]"), "asm") == Llvm().source(scale("* T.float32(2)"), "asm")


@pytest.mark.parametrize("kind", Llvm.sources)
def test_no_debugging_information_is_left(kind: str) -> None:
    text = Llvm().source(scale(), kind)
    for trace in (".debug", ".loc", ".Ltmp", "!DI", "!dbg", "#dbg"):
        assert trace not in text


def test_the_code_is_that_of_the_target() -> None:
    texts = {
        mcpu: Llvm(mcpu=mcpu).source(scale(backend=Llvm(mcpu=mcpu)), "llvm")
        for mcpu in ("x86-64", "x86-64-v3")
    }
    for mcpu, text in texts.items():
        assert f'"target-cpu"="{mcpu}"' in text


DIGESTS = """
import hashlib, json, sys
sys.path.insert(0, sys.argv[1])
from test_llvm_source import Llvm, scale
print(json.dumps([hashlib.md5(Llvm().source(scale(), kind).encode()).hexdigest() for kind in Llvm.sources]))
"""


def test_another_process_gets_the_same_text() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DIGESTS, str(__file__).rpartition("/")[0]],
        capture_output=True,
        text=True,
        check=True,
    )
    here = [hashlib.md5(Llvm().source(scale(), kind).encode()).hexdigest() for kind in Llvm.sources]
    assert json.loads(done.stdout) == here


def test_an_unknown_kind_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(NotImplementedError, match="kind cobol"):
        Llvm().source(scale(), "cobol")


def test_a_model_that_runs_as_a_whole_has_no_code_per_kernel() -> None:
    whole = Kernel("0", "main", ir.tvm.IRModule())
    with pytest.raises(InputError, match="virtual machine"):
        Llvm().source(whole, "asm")


def test_marks_that_code_uses_stay() -> None:
    text = "\t.text\nf:\n.Ltmp0:\n\t.loc\t1 2 3\n\tleaq\t.Ltmp1(%rip), %rax\n.Ltmp1:\n\tretq\n"
    debug = '\t.section\t.debug_loc,"",@progbits\n\t.quad\t.Ltmp0\n'
    note = '\t.section\t".note.GNU-stack","",@progbits'
    assert tidy_assembly(text + debug + note).splitlines() == [
        "\t.text",
        "f:",
        "\tleaq\t.Ltmp1(%rip), %rax",
        ".Ltmp1:",
        "\tretq",
        note,
    ]


def test_addresses_of_the_compilers_own_objects_are_numbered() -> None:
    def listing(**names: Any) -> str:
        return (
            "  store float 0x40040000, ptr %b, !dbg !{dbg}, !tbaa !{use}\n"
            '!{use} = !{{!{name}, !{name}, i64 0}}\n!{name} = !{{!"0x55cd009d4ce{digit}.w32.b0", i64 0}}\n'
            "!{dbg} = !DILocation(line: 0, scope: !3)"
        ).format(**names)

    one = tidy_ir(listing(dbg=5, use=7, name=8, digit="0"))
    other = tidy_ir(listing(dbg=1, use=2, name=3, digit="f"))
    assert one == other
    assert one.splitlines() == [
        "  store float 0x40040000, ptr %b, !tbaa !0",
        "!0 = !{!1, !1, i64 0}",
        '!1 = !{!"0.w32.b0", i64 0}',
    ]
