"""``mutatenn doctor``: what this machine can build and run, and the cure where it cannot."""

from __future__ import annotations

import functools
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import attrs

from mutatenn.api.command import Command
from mutatenn.border import broken, calling, described
from mutatenn.cli._model_contract import show_contract
from mutatenn.cli._text import columns
from mutatenn.errors import PluginError
from mutatenn.printable import shortened

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from mutatenn.api.backend import Backend
    from mutatenn.host.plugin_host import PluginHost

T = TypeVar("T")

EPILOG = """
Exits with 4 if something needed does not work. With --json, an object: "ok" (true or false) and "checks",
a list of objects: "name", "state" ("ok", "warning", "problem"), "detail", "cure". With --model and --json, a
list of objects, one for each route that the campaign file uses: "frontend", "route", "routes", "input",
"output", "layout", "image" (height, width, channels), "channels", "scores", "classes", "layers" (how often
each operator is there), "preprocess".
"""
PINNED = {"apache-tvm": "apache-tvm>=0.27,<0.28", "apache-tvm-ffi": "apache-tvm-ffi==0.1.14.post1"}
"""As in pyproject: TVM's API moves with every minor version, and newer tvm-ffi segfault on saving IR."""
FITTING = {"apache-tvm": "0.27.", "apache-tvm-ffi": "0.1.14.post1"}
"""How the versions begin that meet these requirements."""
PYTHON = (3, 10)
LITTLE_MEMORY = 4 * 2**30
PROBLEM = 4
DIAGNOSIS_SECONDS = 60.0


@attrs.frozen
class Check:
    """What was looked at, how it is, and for anything but ``ok`` what to do."""

    name: str
    state: Literal["ok", "warning", "problem"]
    detail: str
    cure: str = ""

    @property
    def advice(self) -> str:
        """The detail and the cure."""
        return f"{self.detail}; {self.cure}" if self.cure else self.detail


class DoctorCommand(Command):
    """Check what this machine can build and run."""

    name = "doctor"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--model",
            metavar="MODEL",
            help="instead, tell what a model takes and gives: a file or folder, scheme:name, or a campaign "
            "file",
        )
        parser.add_argument("--json", action="store_true", help="print an object")
        parser.epilog = EPILOG

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Print a line per check; return 0 if everything needed works."""
        if args.model is not None:
            show_contract(args.model, host, as_json=args.json)
            return 0
        checks = examine(host)
        problems = sum(check.state == "problem" for check in checks)
        if args.json:
            print(
                json.dumps(
                    {"ok": not problems, "checks": [attrs.asdict(check) for check in checks]}, indent=2
                )
            )
        else:
            print(columns(((each.state, each.name, each.advice) for each in checks), whole=True))
            print(f"\n{problems or 'no'} problem{'' if problems == 1 else 's'}")
            print("for a bug report: this, the campaign file, the command, and all that it printed")
        return PROBLEM if problems else 0


def examine(host: PluginHost) -> list[Check]:
    """Return all checks, done; what needs processes of its own is left out where there can be none."""
    checks = [_python(), _system()]
    if checks[-1].state == "ok":
        checks += [_processors(), _memory(), *_packages(), *_folders(), *_plugins(host), *_backends(host)]
        checks.append(_end_to_end(host))
    return checks


def _python() -> Check:
    if sys.version_info < PYTHON:
        return Check("python", "problem", platform.python_version(), "install Python 3.10 or newer")
    return Check("python", "ok", platform.python_version())


def _system() -> Check:
    if sys.platform != "linux" or not hasattr(os, "fork"):
        return Check("system", "problem", f"{platform.platform()} cannot fork safely", "use Linux")
    return Check("system", "ok", f"{platform.platform()}, {platform.machine()}, can fork")


def _processors() -> Check:
    from mutatenn.campaign.execution.provenance import cpus

    return Check("processors", "ok", str(cpus()))


def _memory() -> Check:
    from mutatenn.campaign.inputs.available_memory import available_memory

    available = available_memory()
    detail = f"{available / 2**30:.1f} GiB available"
    if available < LITTLE_MEMORY:
        return Check("memory", "warning", detail, "large models may need more: use few --workers")
    return Check("memory", "ok", detail)


def _packages() -> Iterator[Check]:
    from mutatenn.campaign.execution.provenance import PACKAGES, versions

    found = versions()
    for package in PACKAGES:
        wanted = PINNED.get(package, package)
        if package not in found:
            yield Check(package, "problem", "not installed", f"pip install '{wanted}'")
        elif not found[package].startswith(FITTING.get(package, "")):
            yield Check(package, "problem", f"{found[package]} does not work", f"pip install '{wanted}'")
        else:
            yield Check(package, "ok", found[package])


def _folders() -> Iterator[Check]:
    runs = Path("runs")
    yield _writable("run folder", runs if runs.is_dir() else Path(), "choose another with --out")
    yield _writable("temporary folder", Path(tempfile.gettempdir()), "set TMPDIR to another")
    yield _kernel_cache()


def _kernel_cache() -> Check:
    from mutatenn.compiler.cache import VARIABLE, kernel_cache_folder
    from mutatenn.compiler.linking import find_linker
    from mutatenn.private import distrust, make_private_folder

    folder = kernel_cache_folder()
    if folder is None:
        return Check("kernel cache", "ok", f"switched off by {VARIABLE}")
    if find_linker() is None:
        return Check("kernel cache", "warning", "no linker, so every run builds anew", "install binutils")
    cure = f"set {VARIABLE} to another folder"
    try:
        make_private_folder(folder)
    except OSError:
        return Check("kernel cache", "warning", f"no folder {folder}", cure)
    if why := distrust(folder):
        return Check("kernel cache", "warning", f"{folder} is not trusted: {why}", cure)
    return _writable("kernel cache", folder, cure)


def _writable(name: str, folder: Path, cure: str) -> Check:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return Check(name, "ok", f"{folder} can be written")
    except OSError as error:
        return Check(name, "warning", f"{folder} cannot be written: {error.strerror}", cure)


def _plugins(host: PluginHost) -> Iterator[Check]:
    active = sum(record.state == "active" for record in host.records)
    yield Check("plugins", "ok", f"{active} active; `mutatenn plugins` lists them")
    for record in host.records:
        if record.state in ("broken", "clash"):
            ours = record.distribution == "mutatenn"
            cure = "install mutatenn again" if ours else f"mend or uninstall {record.distribution}"
            detail = f"{record.state}: {record.reason}"
            yield Check(f"plugin {record.name}", "problem" if ours else "warning", detail, cure)


def _backends(host: PluginHost) -> Iterator[Check]:
    for name, backend in host.backends().items():
        found = _isolated(functools.partial(_diagnosis, backend), DIAGNOSIS_SECONDS)
        able, detail = (False, found) if isinstance(found, str) else found
        yield Check(f"backend {name}", "ok" if able else "warning", detail)


def _diagnosis(backend: type[Backend]) -> tuple[bool, str]:
    """Return what a backend says of this machine; raises PluginError."""
    with calling(backend, "diagnose"):
        found = backend.diagnose()
    if not (isinstance(found, tuple) and len(found) == 2 and isinstance(found[1], str)):  # noqa: PLR2004
        raise broken(backend, "diagnose", "True or False, and a line", found)
    return bool(found[0]), shortened(found[1])


def _end_to_end(host: PluginHost) -> Check:
    """Compile the bundled model in a process of its own, run it there, compare with onnxruntime."""
    start = time.monotonic()
    found = _isolated(lambda: tuple(_misfits(host)))
    if isinstance(found, str) or found:
        detail = found if isinstance(found, str) else "; ".join(found)
        cure = f"pip install --force-reinstall {' '.join(map(repr, PINNED.values()))} mutatenn"
        return Check("end to end", "problem", f"the bundled model does not run: {detail}", cure)
    seconds = time.monotonic() - start
    done = f"compiled the bundled model and ran it: equals onnxruntime ({seconds:.1f} s)"
    return Check("end to end", "ok", done)


def _misfits(host: PluginHost) -> Iterable[str]:
    """Return what is wrong with the outputs of the bundled model on two images."""
    from mutatenn.api.values import Scores
    from mutatenn.campaign.config import values
    from mutatenn.campaign.config.resources import data_folder
    from mutatenn.campaign.gate import gate
    from mutatenn.campaign.inputs.dataset import open_dataset
    from mutatenn.campaign.inputs.load import load_images
    from mutatenn.compiler.profiles import Profile
    from mutatenn.compiler.toolchain import Toolchain

    frontend, backend = host.get("frontend", "onnx")(), host.get("backend", "llvm")()
    model = frontend.load(data_folder() / "digits.onnx")
    dataset = open_dataset(values.DatasetSection((str(data_folder() / "digits/[01]_004[78].png"),)))
    images = load_images(dataset, values.PreprocessSection(mean=127.5, std=127.5), model.input)
    toolchain = Toolchain(model, backend, Profile())
    measured = gate.measure(backend, toolchain.program, images)
    reference = Scores(frontend.reference(model, images), "probabilities")
    return gate.check("doctor", measured, reference, None, values.Gate()).problems


def _isolated(function: Callable[[], T], seconds: float | None = None) -> T | str:
    """Return what the function returns in a process of its own, or what went wrong there."""
    from mutatenn.engine.isolate import call_isolated

    try:
        return call_isolated(function, seconds)
    except PluginError as error:
        return str(error)
    except Exception as error:  # broken installations fail in any way
        return described(error)
