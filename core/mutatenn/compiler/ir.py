"""TVM's modules under the names this project uses, imported on first use.

``from mutatenn import ir`` costs nothing; ``ir.tirx.LE(a, b)`` imports TVM. One place to mend when TVM
moves a module, and the reason why listing plugins stays fast.
"""

from __future__ import annotations

import builtins
import functools
import os
from importlib import import_module
from typing import Any

from mutatenn.errors import InfrastructureError

_MODULES = {
    "tvm": "tvm",
    "ffi": "tvm_ffi",
    "relax": "tvm.relax",
    "tirx": "tvm.tirx",
    "s_tir": "tvm.s_tir",
    "sym": "tvm.sym",
    "script": "tvm.script",
}


def __getattr__(name: str) -> Any:
    """Import the module behind a name."""
    if name not in _MODULES:
        raise AttributeError(name)
    # Mutants run one per process: kernels are single-threaded, and a forked pool would hang.
    os.environ.setdefault("TVM_NUM_THREADS", "1")
    # Or else TVM, where PyTorch is installed, has it look for GPUs: no forked process can use them then.
    os.environ.setdefault("TVM_FFI_DISABLE_TORCH_C_DLPACK", "1")
    try:
        module = import_module(_MODULES[name])
        _keep_error_types()
    except Exception as error:  # half of it may be there, so it can be any
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InfrastructureError(
            f"TVM cannot be loaded ({reason}); it wants the package apache-tvm and about 1 GiB of address "
            "space (ulimit -v); run again when it has them"
        ) from error
    globals()[name] = module
    return module


@functools.cache
def _keep_error_types() -> None:
    """Have errors of the machine pass through TVM, which makes RuntimeErrors of types it does not know."""
    register = import_module("tvm_ffi").register_error
    for found in [InfrastructureError, *vars(builtins).values()]:
        if isinstance(found, type) and issubclass(found, (OSError, ImportError, InfrastructureError)):
            register(found)
