"""Asks TensorFlow in a process of its own, so that its threads and libraries stay out of this one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mutatenn import InfrastructureError, InputError

MODULE = "mutatenn_frontends._tensorflow.convert"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONWARNINGS": "ignore"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
INSTALL = "TensorFlow models need packages of their own; install them: pip install 'mutatenn[tensorflow]'"


def require(*packages: str) -> None:
    """Raise InputError if one of the packages is not installed; imports none."""
    if any(find_spec(name) is None for name in packages):
        raise InputError(INSTALL)


def ask(request: dict[str, Any], payload: bytes = b"") -> tuple[dict[str, Any], bytes]:
    """Return the answer and its bytes; raises InputError as the answer says.

    Raises :class:`mutatenn.InfrastructureError` if the process ends without an answer.
    """
    line = json.dumps({**request, "parent": os.getpid()}).encode() + b"\n"
    done = subprocess.run(  # noqa: S603  # this interpreter, with a module of ours
        [sys.executable, "-m", MODULE],
        input=line + payload,
        capture_output=True,
        check=False,
        # Python looks for modules here first, where no file of the user's can stand in for one.
        cwd=Path(__file__).parents[2],
        env=os.environ | QUIET | ONE_THREAD,
    )
    head, _, content = done.stdout.partition(b"\n")
    if done.returncode or not head:
        raise InfrastructureError(f"TensorFlow's process {_end(done)}")
    answer: dict[str, Any] = json.loads(head)
    if "error" in answer:
        raise InputError(answer["error"])
    return answer, content


def _end(done: subprocess.CompletedProcess[bytes]) -> str:
    """Say how the process ended, with the last line it wrote."""
    lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    if done.returncode < 0:
        return f"died of {signal.Signals(-done.returncode).name} ({lines[-1]})"
    return f"ended with exit code {done.returncode} ({lines[-1]})"
