"""Asks Keras in a process of its own, so that threads and libraries of its backends stay out of this one."""

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

MODULE = "mutatenn_frontends._keras.convert"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "PYTHONWARNINGS": "ignore"}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
PLAIN = {"TF_ENABLE_ONEDNN_OPTS": "0"}
"""No kernels that round differently from one kind of processor to the next."""
INSTALL = "needs packages that are not installed ({}); install them: pip install 'mutatenn[{}]'"


def require(*packages: str) -> None:
    """Raise InputError that names the packages that are not installed; imports none."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise InputError(INSTALL.format(", ".join(missing), "keras,torch" if "torch" in missing else "keras"))


def ask(
    folder: Path, request: dict[str, Any], backend: str = "tensorflow", home: Path | None = None
) -> dict[str, Any]:
    """Return the answer to a request about the files in a folder, where others may be left.

    ``home`` is where Keras looks for its settings and keeps downloads, in place of where it usually does.

    Raises InputError as the answer says, :class:`mutatenn.InfrastructureError` where there is none.
    """
    own = {"KERAS_BACKEND": backend} | ({"KERAS_HOME": str(home)} if home else {})
    (folder / "request.json").write_text(json.dumps(request))
    done = subprocess.run(  # noqa: S603  # this interpreter, with a module of ours
        [sys.executable, "-m", MODULE, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
        # Python looks for modules here first, where no file of the user's can stand in for one.
        cwd=Path(__file__).parents[2],
        env=os.environ | QUIET | ONE_THREAD | PLAIN | own,
    )
    answer = folder / "answer.json"
    if done.returncode or not answer.exists():
        raise InfrastructureError(f"Keras's process {_end(done)}")
    found: dict[str, Any] = json.loads(answer.read_text())
    if "error" in found:
        raise InputError(found["error"])
    return found


def _end(done: subprocess.CompletedProcess[bytes]) -> str:
    """Say how the process ended, with the last line it wrote."""
    lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
    if done.returncode < 0:
        return f"died of {signal.Signals(-done.returncode).name} ({lines[-1]})"
    return f"ended with exit code {done.returncode} ({lines[-1]})"
