"""Plugins that break their contracts, each in one way, and the exit codes that are honest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import indent

import attrs

PRELUDE = '''"""A plugin made up for a test."""
from __future__ import annotations
import os, sys, time, signal
import attrs
import numpy as np
import mutatenn
from mutatenn import *
from mutatenn_frontends.onnx import Onnx
from mutatenn_backends.llvm import Llvm

class Evil(BaseException):
    def __str__(self): raise RuntimeError("no text")

class Odd(MutatennError):
    exit_code = 0

class Unprintable:
    def __repr__(self): raise RuntimeError("no text")
    __str__ = __repr__

def die(): os.kill(os.getpid(), signal.SIGSEGV)
'''

RAISED = {
    "raises": "raise RuntimeError('boom')",
    "exits": "sys.exit(0)",
    "base": "raise Evil()",
    "odd": "raise Odd('fine')",
    "escapes": r"raise ValueError('\x1b[2J\n' * 5 + '\u202e')",
    "long": "raise KeyError('x' * 10**6)",
    "deep": "def f(): return f()\nf()",
    "memory": "raise MemoryError",
    "generator": "raise GeneratorExit",
    "stops": "raise StopIteration",
}
RETURNED = {
    "none": "None",
    "text": "'text'",
    "number": "7",
    "bytes": "b'x'",
    "unprintable": "Unprintable()",
    "list": "[1, 2]",
    "dictionary": "{}",
    "class": "int",
}
ARRAYS = {
    "scalar": "np.float64(1)",
    "short": "np.zeros(len(original.values) - 1)",
    "column": "np.zeros((len(original.values), 1))",
    "strings": "np.full(len(original.values), 'x')",
    "complex": "np.zeros(len(original.values), complex)",
    "integers": "np.zeros(len(original.values), int)",
    "objects": "np.full(len(original.values), None)",
    "writes": "original.values.__setitem__(0, 0.0)",
}


@attrs.frozen
class Bad:
    """A module, what else stands in the campaign file, and the exit codes that are honest."""

    name: str
    source: str
    tail: str = ""
    codes: Sequence[int] = (2,)
    argv: Sequence[str] = ()


def _method(base: str, head: str, body: str, hook: str, more: str = "") -> str:
    return (
        f'class Bad({base}):\n    """A bad one."""\n    name = "bad"\n{indent(more, "    ")}\n'
        f"    def {head}:\n{indent(body, '        ')}\n"
        f"@hookimpl\ndef mutatenn_{hook}s(): return [Bad]\n"
    )


def _oracle(body: str, head: str = "measure(self, original, candidate)") -> str:
    more = 'worse = "higher"'
    if not head.startswith("measure"):
        more += "\ndef measure(self, original, candidate): return np.zeros(len(original.values))"
    return _method("Comparator", head, body, "comparator", more)


def _mutator(body: str, head: str = "sites(self, unit)") -> str:
    more = (
        'level = "kernel"\nstage = "schedulable"\n'
        "def apply(self, unit, sites): return unit\n"
        "@classmethod\ndef examples(cls): return []\n"
    )
    if not head.startswith("sites"):
        more += "def sites(self, unit): return ['one']\n"
    return _method("Mutator", head, body, "mutator", more)


def _bodies(returned: dict[str, str]) -> Iterator[tuple[str, str]]:
    yield from RAISED.items()
    for name, value in returned.items():
        yield f"gives-{name}", f"return {value}"


ORACLE = '[oracles]\nkill = "bad"\n'
OPERATOR = '[[mutations]]\noperator = "bad"\n'
ROUTE = 'frontend = "bad"'
DEVICE = '[[environments]]\nname = "odd"\nbackend = "bad"\n'
EXECUTED = _method("Llvm", "executor(self)", "pass", "backend").replace(
    "    def executor(self):\n        pass\n", "    executor = 'bad'\n"
)


def _executor(body: str) -> str:
    return _method("Executor", "run(self, job, mutants)", body, "executor") + EXECUTED.replace(
        "Bad", "Device"
    )


def _seen(**changes: str) -> str:
    fields = {
        "mutant": "mutants[0]",
        "outcome": "'ran'",
        "executed": "1",
        "infected": "np.zeros(len(job.images), bool)",
        **changes,
    }
    return f"yield Observation({', '.join(f'{name}={value}' for name, value in fields.items())})"


OBSERVATIONS = {
    "outcome": {"outcome": "'excellent'"},
    "stranger": {"mutant": "'nobody'"},
    "outside": {"mutant": "'../../../../outside'"},
    "number": {"mutant": "7"},
    "shape": {"infected": "np.zeros(3, bool)"},
    "rows": {"rows": "np.array([10**6])", "outputs": "np.zeros((1, 10), np.float32)"},
    "outputs": {"rows": "np.array([0])", "outputs": "np.zeros((1, 3), np.float32)"},
    "strings": {"infected": "['a']"},
    "seconds": {"seconds": "{'total': 'long'}"},
    "nan": {"seconds": "{'total': float('nan')}"},
    "kernels": {"kernels": "7"},
    "masked": {"masked": "{1: 2}"},
    "duplicate": {"outcome": "'duplicate'", "message": "'nothing'"},
    "message": {"message": "Unprintable()"},
    "executed": {"executed": "np.float32(3)"},
    "signal": {"outcome": "'crashed'", "signal": "'SEGV'"},
}


def every() -> list[Bad]:
    """Return all of them, always in the same order."""
    return [*_oracles(), *_mutators(), *_frontends(), *_backends(), *_executors(), *_reporters(), *_hooks()]


def _oracles() -> Iterator[Bad]:
    for name, body in _bodies(RETURNED):
        yield Bad(f"oracle-{name}", _oracle(body), ORACLE)
    for name, value in ARRAYS.items():
        yield Bad(f"oracle-{name}", _oracle(f"return {value}"), ORACLE)
    for name in ("raises", "exits", "base"):
        yield Bad(f"noticed-{name}", _oracle(RAISED[name], "noticed(self, values)"), ORACLE)
    for value in ("None", "1", "values", "np.zeros(3, bool)"):
        yield Bad(f"noticed-{value}", _oracle(f"return {value}", "noticed(self, values)"), ORACLE)
    yield Bad("oracle-dies", _oracle("die()"), ORACLE)
    yield Bad("oracle-leaves", _oracle("os._exit(0)"), ORACLE)
    yield Bad("oracle-worse", _oracle("return 1").replace('"higher"', '"odd"'), ORACLE)


def _mutators() -> Iterator[Bad]:
    for name, body in _bodies(RETURNED):
        codes = (2,)
        yield Bad(f"sites-{name}", _mutator(body), OPERATOR, codes)
    for name in ("endless", "dies", "leaves", "nested", "escapes"):
        body = {
            "endless": "import itertools\nreturn itertools.count()",
            "dies": "die()",
            "leaves": "os._exit(0)",
            "nested": "return [['a']]",
            "escapes": r"return ['\x1b[31m\n' * 3]",
        }[name]
        yield Bad(f"sites-that-{name}", _mutator(body), OPERATOR, (0,) if name == "escapes" else (2,))
    for name in ("raises", "exits", "base", "odd", "escapes", "generator"):
        yield Bad(f"apply-{name}", _applying(RAISED[name]), OPERATOR, (0, 1, 4))
    for name in ("none", "text", "list"):
        yield Bad(f"apply-gives-{name}", _applying(f"return {RETURNED[name]}"), OPERATOR, (0, 1, 4))
    yield Bad(
        "init",
        _mutator("return []").replace("    level", "    def __init__(self): sys.exit(0)\n    level"),
        OPERATOR,
    )


def _applying(body: str) -> str:
    source = _mutator("return ['one']")
    return source.replace(
        "apply(self, unit, sites): return unit", f"apply(self, unit, sites):\n{indent(body, '            ')}"
    )


def _frontends() -> Iterator[Bad]:
    suffixes = "suffixes = ()"
    for name, body in _bodies(RETURNED):
        yield Bad(f"load-{name}", _method("Onnx", "load(self, source)", body, "frontend", suffixes), ROUTE)
    for name, change in {
        "input": "input=TensorSpec('x', (1, 0, 8, 8))",
        "output": "output=TensorSpec('y', (1, 3))",
        "spec": "input=None",
        "module": "module=None",
        "digest": "digest=None",
        "dtype": "input=TensorSpec('x', (1, 1, 8, 8), 'no such')",
        "name": "name=7",
    }.items():
        body = f"return attrs.evolve(super().load(source), {change})"
        yield Bad(
            f"load-other-{name}", _method("Onnx", "load(self, source)", body, "frontend", suffixes), ROUTE
        )
    for name, body in {"dies": "die()", "leaves": "os._exit(0)"}.items():
        yield Bad(f"load-{name}", _method("Onnx", "load(self, source)", body, "frontend", suffixes), ROUTE)
        yield Bad(f"reference-{name}", _reference(body), ROUTE)
    for name, body in _bodies(RETURNED):
        yield Bad(f"reference-{name}", _reference(body), ROUTE)
    for value in (
        "np.zeros((3, 3))",
        "np.full((len(images), 10), 'x')",
        "np.zeros((len(images), 10), complex)",
    ):
        yield Bad(f"reference-{value}", _reference(f"return {value}"), ROUTE)
    yield Bad(
        "reads",
        _method("Onnx", "reads(cls, source)", "sys.exit(0)", "frontend", "suffixes = ()").replace(
            "    def reads", "    @classmethod\n    def reads"
        ),
    )


def _reference(body: str) -> str:
    return _method("Onnx", "reference(self, model, images)", body, "frontend", "suffixes = ()")


def _backends() -> Iterator[Bad]:
    for method in ("target(self)", "schedule_identity(self)", "schedule(self, function)", "open(self)"):
        for name in ("raises", "exits", "base", "odd"):
            yield Bad(f"{method}-{name}", _method("Llvm", method, RAISED[name], "backend"), DEVICE)
    for method in ("target(self)", "schedule(self, function)", "open(self)"):
        for name in ("none", "text"):
            body = f"return {RETURNED[name]}"
            yield Bad(f"{method}-gives-{name}", _method("Llvm", method, body, "backend"), DEVICE)
    for name, body in _bodies({"none": "None", "three": "(1, 2, 3)", "escapes": r"(True, '\x1b[31m\n')"}):
        source = _method("Llvm", "diagnose(cls)", body, "backend").replace(
            "    def diagnose", "    @classmethod\n    def diagnose"
        )
        yield Bad(f"diagnose-{name}", source, codes=(0, 4), argv=("doctor",))


def _executors() -> Iterator[Bad]:
    for name, body in _bodies(RETURNED):
        yield Bad(f"executor-{name}", _executor(body), DEVICE)
    for name, value in RETURNED.items():
        yield Bad(f"executor-yields-{name}", _executor(f"yield {value}"), DEVICE)
    for name, changes in OBSERVATIONS.items():
        yield Bad(f"observation-{name}", _executor(_seen(**changes)), DEVICE)
    yield Bad("observation-twice", _executor(f"{_seen()}\n{_seen()}"), DEVICE)
    yield Bad("observation-never", _executor("return iter(())"), DEVICE)
    yield Bad("observation-leaves", _executor("sys.exit(0)\nyield"), DEVICE)


def _reporters() -> Iterator[Bad]:
    argv = ("--reporter", "bad")
    values = {name: value for name, value in RETURNED.items() if name != "text"}
    for name, body in _bodies(values):
        source = _method("Reporter", "report(self, run, directory)", body, "reporter")
        yield Bad(f"report-{name}", source, argv=argv, codes=(4,))
    for name, value in {"surrogates": r"'\udcff\ud800'", "steering": r"'\x1b]0;title\x07\x1b[2J'"}.items():
        source = _method("Reporter", "report(self, run, directory)", f"return {value}", "reporter")
        yield Bad(f"report-{name}", source, argv=argv, codes=(0,))


def _hooks() -> Iterator[Bad]:
    events = {
        "mutatenn_campaign_start": "run",
        "mutatenn_baseline_finished": "run, baseline",
        "mutatenn_trial_finished": "run, verdict",
        "mutatenn_campaign_finish": "run, error",
    }
    for event, arguments in events.items():
        for name in ("raises", "exits", "base", "escapes", "odd"):
            yield Bad(f"{event}-{name}", _hook(event, arguments, RAISED[name]), codes=(0,))
        yield Bad(f"{event}-moves", _hook(event, arguments, "os.chdir('/')"), codes=(0,))
    changes = {
        "exits": "sys.exit(0)",
        "base": "raise Evil()",
        "numbers": "plan[:] = [1, 2]",
        "copies": "plan[:] = [attrs.evolve(each, operator='x') for each in plan]",
        "twice": "plan.extend(list(plan))",
        "nothing": "plan.append(None)",
    }
    for name, body in changes.items():
        yield Bad(f"plan-{name}", _hook("mutatenn_modify_plan", "plan", body))
    for name, body in RAISED.items():
        yield Bad(f"import-{name}", f"def go():\n{indent(body, '    ')}\ngo()\n", codes=(0,))
    for name, body in _bodies(RETURNED):
        yield Bad(
            f"catalogue-{name}", f"@hookimpl\ndef mutatenn_mutators():\n{indent(body, '    ')}\n", codes=(0,)
        )


def _hook(name: str, arguments: str, body: str) -> str:
    return f"@hookimpl\ndef {name}({arguments}):\n{indent(body, '    ')}\n"
