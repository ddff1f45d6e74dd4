"""The kernel cache: what it keeps, and what it must never hand out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from mutatenn import Kernel, build_kernel, compile_kernel, ir, link_library, private
from mutatenn.compiler import cache as cache_module
from mutatenn.compiler import kernels as kernels_module
from mutatenn.compiler.cache import KernelCache, kernel_cache
from mutatenn.compiler.kernels import lower_kernel
from mutatenn_backends.llvm import Llvm

SOURCE = """
@T.prim_func(s_tir=True)
def main(A: T.Buffer((8,), "float32"), B: T.Buffer((8,), "float32")):
    for i in range(8):
        with T.sblock("b"):
            v = T.axis.spatial(8, i)
            B[v] = A[v] + T.float32({})
"""


def kernel(amount: float, digest: str = "") -> Kernel:
    function = lower_kernel(ir.script.from_source(SOURCE.format(amount)), Llvm().target())
    return Kernel(digest or f"{int(amount):032x}", "add", function)


def result(built: Any) -> float:
    out = np.zeros(8, np.float32)
    built(ir.ffi.from_dlpack(np.ones(8, np.float32)), ir.ffi.from_dlpack(out))
    assert (out == out[0]).all()
    return float(out[0])


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KernelCache:
    monkeypatch.setenv("MUTATENN_KERNEL_CACHE", str(tmp_path / "kernels"))
    kernel_cache.cache_clear()
    cache_module._warn.cache_clear()
    found = kernel_cache()
    assert found is not None
    yield found
    kernel_cache.cache_clear()


def entries(cache: KernelCache) -> list[Path]:
    return sorted(cache.folder.glob("*/*.so"))


def count_builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from mutatenn.compiler import kernels

    built: list[str] = []
    original = kernels.compile_kernel

    def compile_(kernel: Kernel, target: Any, symbol: str) -> Any:
        built.append(symbol)
        return original(kernel, target, symbol)

    monkeypatch.setattr(kernels, "compile_kernel", compile_)
    return built


def test_what_was_built_is_not_built_again(cache: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    built = count_builds(monkeypatch)
    target = Llvm().target()
    assert [result(build_kernel(kernel(2), target)) for _ in range(3)] == [3.0] * 3
    assert result(build_kernel(kernel(5), target)) == 6.0
    assert len(built) == len(entries(cache)) == 2


def test_one_digest_with_other_code_is_built_and_not_kept(cache: KernelCache) -> None:
    target = Llvm().target()
    first = build_kernel(kernel(2, "ab" * 16), target)
    second = build_kernel(kernel(7, "ab" * 16), target)
    assert (result(first), result(second), result(first)) == (3.0, 8.0, 3.0)
    assert len(entries(cache)) == 1


@pytest.mark.parametrize("damage", ["flip", "truncate", "empty", "text"])
def test_a_damaged_entry_is_built_again(cache: KernelCache, damage: str) -> None:
    target = Llvm().target()
    build_kernel(kernel(2), target)
    (path,) = entries(cache)
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    damaged = {"flip": bytes(content), "truncate": content[:100], "empty": b"", "text": b"x" * 500}[damage]
    path.unlink()
    path.write_bytes(damaged)
    assert cache.load(kernel(2), f"k_{kernel(2).digest}") is None
    assert result(build_kernel(kernel(2), target)) == 3.0
    assert cache.load(kernel(2), f"k_{kernel(2).digest}") is not None


def test_it_keeps_to_its_limit_by_dropping_what_was_not_used(cache: KernelCache) -> None:
    target = Llvm().target()
    for amount in range(1, 6):
        build_kernel(kernel(amount), target)
        (path,) = (each for each in entries(cache) if each.stem == kernel(amount).digest)
        os.utime(path, (amount, amount))
    cache.load(kernel(1), f"k_{kernel(1).digest}")  # used just now
    size = entries(cache)[0].stat().st_size
    attrs.evolve(cache, limit=3 * size + size // 2).tidy()
    assert [path.stem for path in entries(cache)] == [kernel(amount).digest for amount in (1, 4, 5)]


def test_leftovers_of_a_killed_writer_go(cache: KernelCache) -> None:
    old, new = cache.folder / "ab" / ".new-old", cache.folder / "ab" / ".new-fresh"
    old.mkdir(parents=True)
    new.mkdir()
    os.utime(old, (1, 1))
    cache.tidy()
    assert not old.exists()
    assert new.exists()


def test_without_a_linker_kernels_stay_in_memory(cache: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels_module, "find_linker", lambda: None)
    assert result(build_kernel(kernel(2), Llvm().target())) == 3.0
    assert entries(cache) == []


def test_a_folder_that_cannot_be_written_does_no_harm(cache: KernelCache) -> None:
    cache.folder.parent.mkdir(exist_ok=True)
    cache.folder.write_text("in the way")
    assert result(build_kernel(kernel(2), Llvm().target())) == 3.0


@pytest.mark.parametrize(
    ("variables", "folder", "limit"),
    [
        ({"MUTATENN_KERNEL_CACHE": "off"}, None, 0),
        ({"MUTATENN_KERNEL_CACHE": "/x", "MUTATENN_KERNEL_CACHE_BYTES": "5"}, "/x", 5),
        ({"XDG_CACHE_HOME": "/y"}, "/y/mutatenn/kernels", 2 * 2**30),
    ],
)
def test_where_it_is(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str | None, limit: int
) -> None:
    for name in ("MUTATENN_KERNEL_CACHE", "MUTATENN_KERNEL_CACHE_BYTES", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    kernel_cache.cache_clear()
    try:
        found = kernel_cache()
        assert found is None if folder is None else found == KernelCache(Path(folder), limit)
    finally:
        kernel_cache.cache_clear()


def modes(folder: Path) -> set[str]:
    return {f"{path.stat().st_mode & 0o777:o}" for path in (folder, *folder.rglob("*"))}


def test_whatever_the_umask_nobody_else_may_write(cache: KernelCache) -> None:
    before = os.umask(0)
    try:
        build_kernel(kernel(2), Llvm().target())
        cache.remember("ab", "c", "d")
        cache.cached("cd", lambda: b"made")
        assert cache.subfolder("pocl") == cache.folder / "pocl"
    finally:
        os.umask(before)
    assert modes(cache.folder) == {"700", "600"}


@pytest.mark.parametrize("whose", ["group's", "everybody's", "another user's", "below everybody's"])
def test_a_cache_that_others_could_have_filled_is_not_used(
    cache: KernelCache, whose: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    build_kernel(kernel(2), Llvm().target())
    if whose == "another user's":
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        monkeypatch.setattr(private, "ROOT", 54321)
    else:
        place = cache.folder.parent if whose.startswith("below") else cache.folder
        place.chmod(0o770 if whose == "group's" else 0o777)
    kernel_cache.cache_clear()
    assert kernel_cache() is None
    assert kernel_cache() is None
    (line,) = (record.getMessage() for record in caplog.records)
    assert f"the kernel cache {cache.folder} is not trusted: " in line
    assert "MUTATENN_KERNEL_CACHE" in line


@pytest.mark.parametrize("what", ["entry", "folder", "link", "linked folder", "fifo", "foreign"])
def test_an_entry_that_others_could_have_put_there_is_built_anew(
    cache: KernelCache,
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    build_kernel(kernel(2), Llvm().target())
    (path,) = entries(cache)
    if what == "foreign":
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        monkeypatch.setattr(private, "ROOT", 54321)
    elif what.startswith("link"):
        (path if what == "link" else path.parent).rename(tmp_path / "elsewhere")
        (path if what == "link" else path.parent).symlink_to(tmp_path / "elsewhere")
    elif what == "fifo":
        path.unlink()
        os.mkfifo(path)
    else:
        (path if what == "entry" else path.parent).chmod(0o772)
    built = count_builds(monkeypatch)
    assert result(build_kernel(kernel(2), Llvm().target())) == 3.0
    assert len(built) == 1
    assert cache.recall("ab") is None
    assert len({record.getMessage() for record in caplog.records}) == len(caplog.records) == 1


def test_an_entry_without_its_function_is_replaced(cache: KernelCache) -> None:
    target = Llvm().target()
    path = cache.store(kernel(2), link_library(compile_kernel(kernel(2), target, "other")))
    assert path is not None
    wrong = path.read_bytes()
    assert result(build_kernel(kernel(2), target)) == 3.0
    assert entries(cache) == [path]
    assert path.read_bytes() != wrong


def test_what_may_not_be_removed_stays(cache: KernelCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(1, "not yours")

    build_kernel(kernel(2), Llvm().target())
    (path,) = entries(cache)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])
    monkeypatch.setattr(Path, "unlink", refuse)
    assert cache.library(kernel(2)) is None
    attrs.evolve(cache, limit=0).tidy()
    assert path.exists()


WRITE = """
import sys
sys.path.insert(0, sys.argv[1])
from test_cache import build_kernel, kernel, result
from mutatenn_backends.llvm import Llvm
while True:
    for amount in range(1, 4):
        assert result(build_kernel(kernel(amount), Llvm().target())) == amount + 1
        from mutatenn.compiler.cache import kernel_cache
        for path in kernel_cache().folder.glob("*/*.so"):
            path.unlink(missing_ok=True)
        print("round", flush=True)
"""


def test_concurrent_writers_and_kill(cache: KernelCache) -> None:
    """Processes that write and delete the same entries, and die in the middle, never make a bad entry."""
    command = [sys.executable, "-c", WRITE, str(Path(__file__).parent)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) for _ in range(2)]
    for writer in writers:
        assert writer.stdout is not None
        for _ in range(4):
            assert writer.stdout.readline() == b"round\n"
    time.sleep(0.1)
    for writer in writers:
        assert writer.poll() is None
        os.killpg(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()  # type: ignore[union-attr]
    for amount in range(1, 4):
        assert result(build_kernel(kernel(amount), Llvm().target())) == amount + 1
