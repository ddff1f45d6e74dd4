"""A device that breaks a promise fails the check of devices, which names the promise."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn import BuildError, DeviceLostError, InputError, ir
from mutatenn.testing import check_device
from mutatenn_backends.llvm import Cpu, Llvm


@attrs.frozen(kw_only=True)
class Odd(Llvm):
    """This processor, some of whose methods are others."""

    name = "odd"
    methods: dict[str, Callable[..., Any]]

    def open(self) -> Any:
        return type("OddCpu", (Cpu,), self.methods)(self.target())


def of_rounded(self: Cpu, array: Any) -> Any:
    return Cpu.upload(self, array.astype(np.float32) if array.dtype == np.float64 else array)


def as_it_lies(self: Cpu, array: Any) -> Any:
    return Cpu.upload(self, np.ravel(array, "K").reshape(array.shape))


def without_guards(_: Cpu, shape: tuple[int, ...], dtype: Any, poison: bool) -> Any:
    whole = np.zeros(2**15, np.uint8)
    size = int(np.prod(shape)) * dtype.itemsize
    array = whole[2**14 : 2**14 + size].view(dtype).reshape(shape)
    if poison and dtype.kind == "f":
        array.fill(np.nan)
    elif poison:
        array.fill(1 if dtype.kind == "b" else np.iinfo(dtype).max)
    return type(Cpu.upload(_, array))(array, ir.ffi.from_dlpack(array), array.ctypes.data, array.reshape(-1))


def plain_upload(self: Cpu, array: Any) -> Any:
    tensor = without_guards(self, array.shape, array.dtype, False)
    tensor.array[...] = array
    return tensor


def plain_allocate(self: Cpu, spec: Any, poison: bool = True) -> Any:
    return without_guards(self, spec.shape, np.dtype(spec.dtype), poison)


def with_any_error(self: Cpu, built: Any, arguments: Any, results: Any) -> None:
    try:
        Cpu.launch(self, built, arguments, results)
    except (TypeError, ValueError) as error:
        raise RuntimeError(str(error)) from error


def without_build_errors(self: Cpu, kernel: Any) -> Any:
    try:
        return Cpu.build(self, kernel)
    except BuildError as error:
        raise RuntimeError(str(error)) from error


def once(self: Cpu, built: Any, arguments: Any, results: Any) -> None:
    launched = self.__dict__.setdefault("launched", set())
    if built not in launched:
        Cpu.launch(self, built, arguments, results)
        launched.add(built)


def where_it_was_opened(self: Cpu, tensor: Any) -> Any:
    if self.__dict__.setdefault("process", os.getpid()) != os.getpid():
        raise RuntimeError("opened by another process")
    return Cpu.fetch(self, tensor)


def into_its_argument(self: Cpu, built: Any, arguments: Any, results: Any) -> None:
    Cpu.launch(self, built, arguments, results)
    arguments[0].array.fill(0)


def dying(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


COUNT = itertools.count()
BROKEN: dict[str, tuple[dict[str, Callable[..., Any]], str]] = {
    "rounds": ({"upload": of_rounded}, "is fetched in its shape, dtype and bytes"),
    "layout": ({"upload": as_it_lies}, "what is uploaded, in any layout"),
    "no copy": ({"fetch": lambda _, tensor: tensor.array}, "upload and fetch copy"),
    "no poison": ({"allocate": lambda *a, poison=True: Cpu.allocate(*a, poison=False)}, "dtype's poison"),
    "flat": (
        {
            "allocate": lambda self, spec, poison=True: Cpu.allocate(
                self, spec if poison else attrs.evolve(spec, shape=(spec.nbytes,)), poison=poison
            )
        },
        "a tensor without poison has its shape",
    ),
    "never the same": ({"same": lambda *_: False}, "equal tensors are the same"),
    "sketch of the moment": ({"sketch": lambda *_: bytes([next(COUNT) % 256])}, "one digest and one sketch"),
    "digest as a number": ({"digest": lambda *_: 1}, "are no bytes"),
    "by value": (
        {"same": lambda _, a, b: bool(np.array_equal(a.array, b.array, equal_nan=a.array.dtype.kind == "f"))},
        "floats are compared bit for bit",
    ),
    "in part": ({"digest": lambda _, tensor: tensor.array.tobytes()[:64]}, "differ in a bit"),
    "any order": ({"digest": lambda _, tensor: bytes(sorted(tensor.array.tobytes()))}, "another order"),
    "results first": (
        {"launch": lambda self, built, arguments, results: Cpu.launch(self, built, results, arguments)},
        "a kernel reads its argument",
    ),
    "writes arguments": ({"launch": into_its_argument}, "leaves it alone"),
    "arguments turned": (
        {
            "launch": lambda self, built, arguments, results: Cpu.launch(
                self, built, arguments[::-1] if len(results) == 2 else arguments, results
            )
        },
        "arguments in order, then its results",
    ),
    "runs once": ({"launch": once}, "as often as it is launched"),
    "any error": ({"launch": with_any_error}, "raise TypeError or ValueError"),
    "no build error": ({"build": without_build_errors}, "raises BuildError"),
    "no guards": ({"upload": plain_upload, "allocate": plain_allocate}, "of the guard's bytes"),
    "one process": ({"fetch": where_it_was_opened}, "where shares_fork says so"),
    "dies": ({"launch": dying}, "its process ends well; .*SIGKILL"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_promise_is_named(case: str) -> None:
    methods, promise = BROKEN[case]
    with pytest.raises(AssertionError, match=f"^not true: odd: .*{promise}"):
        check_device(Odd(methods=methods))


def test_guards_are_checked_only_where_they_are_promised() -> None:
    check_device(Odd(methods={"upload": plain_upload, "allocate": plain_allocate}), guards=False)


@pytest.mark.parametrize("error", [InputError, DeviceLostError])
def test_what_a_machine_lacks_is_no_broken_promise(error: type[Exception]) -> None:
    @attrs.frozen(kw_only=True)
    class Absent(Llvm):
        def open(self) -> Any:
            raise error("there is none here")

    with pytest.raises(error, match="there is none here"):
        check_device(Absent())


def test_a_device_that_opens_only_once_is_noticed(tmp_path: Path) -> None:
    @attrs.frozen(kw_only=True)
    class Single(Llvm):
        shares_fork = False

        def open(self) -> Any:
            (tmp_path / "opened").touch(exist_ok=False)
            return super().open()

    with pytest.raises(AssertionError, match="again and again; FileExistsError"):
        check_device(Single())
