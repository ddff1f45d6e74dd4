"""``mutatenn doctor``: every part is looked at, and a broken one is found."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mutatenn.campaign.execution import provenance
from mutatenn.cli import doctor

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Command = Callable[..., Any]
Install = Callable[[str], None]

LAME = '''
class Lame(Backend):
    """Never there."""
    name = "lame"
    def target(self): ...
    def open(self): ...
    @classmethod
    def diagnose(cls): return False, "no such device; buy one"

class Crashing(Lame):
    """Crashes when asked."""
    name = "crashing"
    @classmethod
    def diagnose(cls):
        import os
        os.kill(os.getpid(), 11)

@hookimpl
def mutatenn_backends(): return [Lame, Crashing]
'''


def checks(command: Command) -> dict[str, dict[str, str]]:
    done = command("doctor", "--json")
    found = json.loads(done.out)
    assert found["ok"] == (done.code == 0)
    assert done.code in {0, 4}
    return {check["name"]: check for check in found["checks"]}


def test_a_sound_machine(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = command("doctor")
    assert (done.code, done.err) == (0, "")
    *lines, _, last, _for_a_report = done.out.splitlines()
    assert last == "no problems"
    found = {re.split(" {2,}", line)[1]: line for line in lines}
    assert {"python", "system", "processors", "apache-tvm", "apache-tvm-ffi", "onnx", "onnxruntime"} < set(
        found
    )
    assert all(line.startswith(("ok ", "warning ")) for line in lines)
    assert "equals onnxruntime" in found["end to end"]
    assert list(tmp_path.iterdir()) == []


def test_backends_that_do_not_work_are_warnings(command: Command, install: Install) -> None:
    install(LAME)
    found = checks(command)
    assert found["backend llvm"]["state"] == "ok"
    assert found["backend lame"] == {
        "name": "backend lame",
        "state": "warning",
        "detail": "no such device; buy one",
        "cure": "",
    }
    assert found["backend crashing"]["state"] == "warning"
    assert "SIGSEGV" in found["backend crashing"]["detail"]
    assert found["end to end"]["state"] == "ok"


def test_a_broken_plugin_is_a_warning(command: Command, install: Install) -> None:
    install("import no_such_module")
    found = checks(command)["plugin acme"]
    assert (found["state"], found["cure"]) == ("warning", "mend or uninstall acme")
    assert "no_such_module" in found["detail"]


def test_wrong_and_missing_packages_are_problems_with_a_cure(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = provenance.versions() | {"apache-tvm-ffi": "0.1.15"}
    del installed["onnxruntime"]
    monkeypatch.setattr(provenance, "versions", lambda: installed)
    found = checks(command)
    wrong, lacking = found["apache-tvm-ffi"], found["onnxruntime"]
    assert (wrong["state"], wrong["detail"]) == ("problem", "0.1.15 does not work")
    assert wrong["cure"] == "pip install 'apache-tvm-ffi==0.1.14.post1'"
    assert (lacking["state"], lacking["detail"]) == ("problem", "not installed")
    assert lacking["cure"] == "pip install 'onnxruntime'"


def test_a_folder_that_cannot_be_written(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    found = checks(command)["run folder"]
    assert (found["state"], found["cure"]) == ("warning", "choose another with --out")


def test_wrong_outputs_are_a_problem(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    # In place of a miscompiling TVM: a reference that nothing can equal.
    from mutatenn_frontends.onnx import Onnx

    right = Onnx.reference
    monkeypatch.setattr(Onnx, "reference", lambda self, *args: right(self, *args)[:, ::-1])
    found = checks(command)["end to end"]
    assert found["state"] == "problem"
    assert "the bundled model does not run: its probabilities differ" in found["detail"]


def test_the_pins_are_the_projects() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(doctor.PINNED.values()) < set(project["dependencies"])
    for name, beginning in doctor.FITTING.items():
        assert beginning.rstrip(".") in doctor.PINNED[name]
