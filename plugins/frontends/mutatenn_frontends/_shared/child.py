"""Has a module work in a process of its own: its framework's threads and libraries stay out of this one.

:func:`ask` starts that process, :func:`serve` runs in it. What it prints is no part of the answer.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any

from mutatenn import InfrastructureError, InputError, signal_name
from mutatenn_frontends._shared.files import LONGEST_REASON

if TYPE_CHECKING:
    from collections.abc import Mapping

PACKAGES = str(Path(__file__).parents[2])
PATH = f"import sys; sys.path[:] = [*filter(None, sys.path), {PACKAGES!r}]"
"""No file of the user's in the current folder, which is "" there, can stand in for a module."""
START = f"{PATH}; from {__name__} import serve; serve()"
STEADY = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # its kernels round differently from one kind of processor to the next
}
"""The environment of a framework that computes: quiet, on one thread, the same everywhere."""
PR_SET_PDEATHSIG = 1
LAST_BYTES = 4096


def ask(
    name: str,
    module: str,
    request: Mapping[str, Any],
    payload: bytes = b"",
    environment: Mapping[str, str] = STEADY,
) -> tuple[dict[str, Any], bytes]:
    """Return what a module's ``respond(request, payload)`` returns in a process of its own.

    That is an answer, plain values like the request, and the bytes that belong to it. The process has
    ``environment`` besides this one's, and ends with this one at the latest. Raises InputError as ``respond``
    does; where there is no answer, InfrastructureError that begins with the process's ``name``.
    """
    with TemporaryFile() as answer, TemporaryFile() as said:
        done = subprocess.run(  # noqa: S603  # this interpreter, with a module of ours
            [sys.executable, "-c", START, module, str(os.getpid()), str(answer.fileno())],
            input=json.dumps(request).encode() + b"\n" + payload,
            stdout=subprocess.DEVNULL,
            stderr=said,
            check=False,
            pass_fds=(answer.fileno(),),
            env=os.environ | environment,
        )
        found = _whole(answer)
        if found is None:
            end = _end(done.returncode)
            raise InfrastructureError(f"{name} {end} ({_last_line(said)}); run again with more memory free")
    head, content = found
    if "error" in head:
        raise InputError(head["error"])
    return head["answer"], content


def _whole(file: IO[bytes]) -> tuple[dict[str, Any], bytes] | None:
    """Return the head of an answer and its bytes; None where they are not all there, or something else is."""
    file.seek(0)
    try:
        head = json.loads(file.readline())
    except ValueError:
        return None
    content = file.read()
    return (head, content) if isinstance(head, dict) and head.get("size") == len(content) else None


def _end(code: int) -> str:
    if code < 0:
        return f"died of {signal_name(-code)}"
    return f"ended with exit code {code} and no answer"


def _last_line(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:LONGEST_REASON] if lines else "it said nothing"


def serve() -> None:
    """Answer the one request that this process was started for, by the module that its arguments name."""
    module, parent, answer = sys.argv[1:]
    del sys.argv[1:]
    _die_with(int(parent))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    os.set_inheritable(int(answer), False)
    request, payload = json.loads(sys.stdin.buffer.readline()), sys.stdin.buffer.read()
    try:
        found, content = import_module(module).respond(request, payload)
        head = {"answer": found, "size": len(content)}
    except InputError as error:
        head, content = {"error": str(error), "size": 0}, b""
    with open(int(answer), "wb") as file:
        file.write(json.dumps(head).encode() + b"\n" + content)


def _die_with(parent: int) -> None:
    """End with the process that asked, however it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call above
        sys.exit(1)
