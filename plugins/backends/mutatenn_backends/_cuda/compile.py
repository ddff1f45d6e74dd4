"""Compiles CUDA source by nvcc or NVRTC, which needs no GPU and touches none."""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mutatenn import BuildError, InfrastructureError, InputError, ir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMPILERS = ("nvcc", "nvrtc")
# Products are added unrounded where the generated code says so, nowhere else.
NO_CONTRACTION = "--fmad=false"
# As TVM calls it, but for the approximate arithmetic of --use_fast_math.
FLAGS = (
    "-O3",
    "--expt-relaxed-constexpr",
    "-U__CUDA_NO_HALF_OPERATORS__",
    "-U__CUDA_NO_HALF_CONVERSIONS__",
    NO_CONTRACTION,
)


def compile_source(source: str, arch: str, compiler: str, form: Literal["cubin", "ptx"]) -> bytes:
    """Return CUDA source compiled for an architecture such as ``sm_90``.

    Raises BuildError if the compiler rejects it, InputError where a tool is missing.
    """
    _require(compiler)
    return _nvcc(source, arch, form) if compiler == "nvcc" else _nvrtc(source, arch, form)


@functools.cache
def compiler_version(compiler: str) -> str:
    """Return what tells this compiler and its flags from all others; raises InputError if it is missing."""
    _require(compiler)
    if compiler == "nvcc":
        done = subprocess.run([str(find_nvcc()), "--version"], check=False, capture_output=True, text=True)  # noqa: S603  # ours
        return f"nvcc {FLAGS} {done.stdout}"
    nvrtc = importlib.import_module("cuda.bindings.nvrtc")
    return f"nvrtc {nvrtc.nvrtcVersion()} {ir.tvm.__version__} {NO_CONTRACTION}"


@contextlib.contextmanager
def compiled_by(compiler: Callable[[str], bytes]) -> Iterator[None]:
    """Have TVM compile device code by this function; it does so only where its CUDA runtime is loaded."""
    name, registry = "tvm_callback_cuda_compile", ir.ffi
    before = ir.tvm.get_global_func(name)
    registry.register_global_func(name, compiler, override=True)
    try:
        yield
    finally:
        registry.register_global_func(name, before, override=True)


def _require(compiler: str) -> None:
    if lacking := missing_tool(compiler):
        raise InputError(lacking)


def missing_tool(compiler: str) -> str:
    """Return what is to be installed before a compiler can be used, in one line, or nothing."""
    if compiler == "nvcc":
        absent = "nvcc is missing; install the CUDA toolkit, or set CUDA_HOME to its folder"
        return "" if find_nvcc() else absent
    if importlib.util.find_spec("cuda") is None or importlib.util.find_spec("cuda.bindings") is None:
        return "NVRTC's Python package is missing; pip install 'mutatenn[cuda]'"
    if find_headers() is None:
        return "CUDA's headers are missing; pip install 'mutatenn[cuda]', or set CUDA_HOME to a CUDA toolkit"
    return ""


def find_nvcc() -> str | None:
    """Return the path of nvcc, or None."""
    places = os.pathsep.join(str(folder / "bin") for folder in toolkits())
    return shutil.which("nvcc") or shutil.which("nvcc", path=places)


def find_headers() -> Path | None:
    """Return the folder that has CUDA's headers under ``include``, or None."""
    return next((each for each in toolkits() if (each / "include" / "cuda_runtime.h").exists()), None)


def toolkits() -> Iterator[Path]:
    """Yield where a toolkit may be: where the user says, where it is installed, in Python packages."""
    for variable in ("CUDA_HOME", "CUDA_PATH"):
        if os.environ.get(variable):
            yield Path(os.environ[variable])
    yield Path("/usr/local/cuda")
    packages = importlib.util.find_spec("nvidia")
    for folder in (packages.submodule_search_locations or ()) if packages else ():
        yield from sorted(Path(folder).glob("cu[0-9]*"))


def _nvcc(source: str, arch: str, form: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="mutatenn-cuda-") as folder:
        code, compiled = Path(folder, "kernel.cu"), Path(folder, f"kernel.{form}")
        code.write_text(source)
        command = [str(find_nvcc()), f"--{form}", f"-arch={arch}", *FLAGS, "-o", str(compiled), str(code)]
        try:
            done = subprocess.run(  # noqa: S603  # ours
                command, check=False, capture_output=True, text=True, errors="replace"
            )
        except OSError as error:
            raise InfrastructureError(f"nvcc does not start: {error}") from error
        if done.returncode < 0:
            raise InfrastructureError(f"nvcc ended by signal {-done.returncode}")
        if done.returncode:
            raise BuildError(complaint(done.stderr + done.stdout))
        return compiled.read_bytes()


def _nvrtc(source: str, arch: str, form: str) -> bytes:
    """Compile as TVM does, with its approximate arithmetic."""
    compile_cuda: Any = ir.tvm.support.nvcc.compile_cuda
    headers, before = find_headers(), os.environ.get("CUDA_PATH")
    os.environ["CUDA_PATH"] = str(headers)  # where TVM looks for them
    # Python packages have some headers where TVM does not expect them.
    options = [f"-I{headers}/include/cccl", NO_CONTRACTION]
    try:
        return bytes(compile_cuda(source, form, arch=arch, compiler="nvrtc", options=options))
    except RuntimeError as error:
        raise BuildError(complaint(str(error))) from error
    finally:
        os.environ.pop("CUDA_PATH")
        os.environ.update({"CUDA_PATH": before} if before is not None else {})


def complaint(log: str) -> str:
    """Return the first error of a compiler's output."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    found = next((line for line in lines if "error" in line or "fatal" in line), lines[0] if lines else "")
    return " ".join(found.split()) or "no reason given"
