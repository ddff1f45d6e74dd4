"""Built kernels on disk, by content: shared between runs and processes, bounded in size.

An entry is one file: a shared library, the IR it was built from, and a trailer with their lengths and a
checksum. It is used only if the checksum holds and its IR is structurally equal to the kernel's, so that
neither a damaged file nor a collision of hashes can put other code in a kernel's place, and only if nobody
but this user or root may write to it and its folder. Entries appear by renaming, so readers, other writers
and ``kill -9`` do no harm.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import shutil
import struct
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.compiler import ir
from mutatenn.private import distrust, make_private_folder, read_trusted, write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mutatenn.api.program import Kernel

log = logging.getLogger(__name__)

VARIABLE = "MUTATENN_KERNEL_CACHE"
"""Names the cache's folder; ``off`` disables it."""
LIMIT_VARIABLE = "MUTATENN_KERNEL_CACHE_BYTES"
DEFAULT_LIMIT = 2 * 2**30
TRAILER = struct.Struct("<QQ16s8s")  # bytes of library, bytes of IR, checksum of both, magic
MAGIC = b"mutatenn"
SUFFIXES = ("so", "note", "bin")
SEAL = 16  # bytes of a checksum
STALE_SECONDS = 3600
STAT_BLOCK = 512  # bytes of st_blocks' unit


@attrs.frozen
class KernelCache:
    """A folder of built kernels that keeps to ``limit`` bytes by dropping what was not used for longest."""

    folder: Path
    limit: int = DEFAULT_LIMIT

    def load(self, kernel: Kernel, symbol: str) -> Any:
        """Return the built function ``symbol`` of a kernel, or None if it is not here or not sound."""
        if not self.library(kernel):
            return None
        built = load_library(self._path(kernel), symbol)
        if built is None:  # it has no such function: room for one that has
            _drop(self._path(kernel))
        return built

    def library(self, kernel: Kernel) -> bytes | None:
        """Return the shared library of a kernel, or None if it is not here or not sound."""
        content = self._read(self._path(kernel))
        if content is None:
            return None
        parts = _parts(content)
        if parts is None:
            _drop(self._path(kernel))
            return None
        shared, source = parts
        return shared if _is_of(kernel, source) else None

    def store(self, kernel: Kernel, shared: bytes) -> Path | None:
        """Keep a kernel's shared library; return its file, or None if it cannot be written.

        A sound file that is there already stays: the loader would take the new one for it.
        """
        path = self._path(kernel)
        if path.exists() and self._read(path) is not None:
            return None
        return path if self._write(path, _entry(shared, kernel)) else None

    def recall(self, key: str) -> tuple[str, str] | None:
        """Return what was remembered under a key: a kernel's digest and the checksum of its IR."""
        path = self._note(key)
        try:
            digest, checksum, seal = (self._read(path) or b"").decode().split(" ")
            os.utime(path)
        except (OSError, ValueError):
            return None
        return (digest, checksum) if seal == text_digest(key + digest + checksum) else None

    def remember(self, key: str, digest: str, checksum: str) -> None:
        """Remember that something comes to the kernel of this digest, with this checksum of its IR."""
        seal = text_digest(key + digest + checksum)
        self._write(self._note(key), f"{digest} {checksum} {seal}".encode())

    def cached(self, key: str, make: Callable[[], bytes]) -> bytes:
        """Return what ``make`` returns, from the disk if it was made before under this key (hex)."""
        path = self.folder / key[:2] / f"{key}.bin"
        content = self._read(path)
        if content is not None and content[-SEAL:] == _checksum(key.encode() + content[:-SEAL]):
            with contextlib.suppress(OSError):
                os.utime(path)
            return content[:-SEAL]
        made = make()
        self._write(path, made + _checksum(key.encode() + made))
        return made

    def subfolder(self, name: str) -> Path | None:
        """Return a folder in the cache for what others keep there, or None where it cannot be had."""
        folder = self.folder / name
        try:
            make_private_folder(folder)
        except OSError:
            return None
        return None if distrust(folder) else folder

    def _read(self, path: Path) -> bytes | None:
        """Return what an entry holds, or None if it is not here, or others could have written it."""
        try:
            return read_trusted(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            _warn(self.folder, str(error.strerror))
            return None

    def _write(self, path: Path, content: bytes) -> bool:
        """Put an entry in its place, whole; tell whether that could be done."""
        try:
            make_private_folder(path.parent)
            with tempfile.TemporaryDirectory(
                dir=path.parent, prefix=".new-", ignore_cleanup_errors=True
            ) as folder:
                new = Path(folder, path.name)
                write_private(new, content)
                new.replace(path)
        except OSError:
            return False
        return True

    def tidy(self) -> None:
        """Drop what dead processes left behind, and the entries unused for longest until the limit holds."""
        now = time.time()
        for leftover in self.folder.glob("*/.new-*"):
            if _is_orphan(leftover) or now - _modified(leftover) > STALE_SECONDS:
                shutil.rmtree(leftover, ignore_errors=True)
        entries = sorted(self._entries())
        total = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if total <= self.limit:
                break
            _drop(path)
            total -= size

    def _entries(self) -> Iterator[tuple[float, int, Path]]:
        for path in (each for suffix in SUFFIXES for each in self.folder.glob(f"*/*.{suffix}")):
            try:
                about = path.stat()
            except OSError:
                continue
            yield about.st_mtime, about.st_blocks * STAT_BLOCK, path

    def _note(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.note"

    def _path(self, kernel: Kernel) -> Path:
        return self.folder / kernel.digest[:2] / f"{kernel.digest}.so"


def load_library(path: Path, symbol: str) -> Any:
    """Return a function of a shared library, or None where there is none, or no file any more."""
    try:
        with contextlib.suppress(PermissionError):  # of a cache that is shared
            os.utime(path)
        return ir.tvm.runtime.load_module(str(path))[symbol]
    except (OSError, RuntimeError, AttributeError):
        return None


def cache_folder(kind: str) -> Path:
    """Return the folder where this user keeps what can be made or downloaded again, of some kind."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mutatenn" / kind


@functools.cache
def kernel_cache() -> KernelCache | None:
    """Return this user's cache, tidied once per process, or None where it is switched off.

    Nor is one used, and a log line says so, that others could have filled: code of theirs would run.
    """
    folder = kernel_cache_folder()
    if folder is None:
        return None
    if why := distrust(folder):
        _warn(folder, why)
        return None
    limit = os.environ.get(LIMIT_VARIABLE, "")
    cache = KernelCache(folder, int(limit) if limit.isdecimal() else DEFAULT_LIMIT)
    cache.tidy()
    return cache


def kernel_cache_folder() -> Path | None:
    """Return where this user's kernel cache is to be, or None where it is switched off."""
    place = os.environ.get(VARIABLE, "")
    if place == "off":
        return None
    return Path(place) if place else cache_folder("kernels")


@functools.cache
def _warn(folder: Path, why: str) -> None:
    """Say once that the cache, or some of it, is not used."""
    cure = f"take their right to write away, or name a folder of your own with {VARIABLE}"
    log.warning("the kernel cache %s is not trusted: %s; %s", folder, why, cure)


def _entry(shared: bytes, kernel: Kernel) -> bytes:
    source: bytes = ir.tvm.ir.save_json(kernel.ir).encode()
    body = shared + source
    return body + TRAILER.pack(len(shared), len(source), _checksum(body), MAGIC)


def _parts(content: bytes) -> tuple[bytes, str] | None:
    """Return the library and the IR of an entry, or None for a damaged one."""
    body, trailer = content[: -TRAILER.size], content[-TRAILER.size :]
    if len(trailer) < TRAILER.size:
        return None
    shared, source, checksum, magic = TRAILER.unpack(trailer)
    if magic != MAGIC or shared + source != len(body) or _checksum(body) != checksum:
        return None
    return body[:shared], body[shared:].decode()


def _is_of(kernel: Kernel, source: str) -> bool:
    """Tell whether an entry's IR is the kernel's, by its text where that is known."""
    if kernel.checksum and kernel.checksum == text_digest(source):
        return True
    return bool(ir.ffi.structural_equal(ir.tvm.ir.load_json(source), kernel.ir))


def cached_bytes(source: str, make: Callable[[], bytes]) -> bytes:
    """Return what ``make`` returns; the kernel cache keeps it under a text that says all it depends on."""
    cache = kernel_cache()
    return cache.cached(text_digest(source), make) if cache else make()


def text_digest(text: str) -> str:
    """Return the digest (hex) of a text."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=16).digest()


def _new() -> str:
    return f".new-{os.getpid()}-"


def _is_orphan(leftover: Path) -> bool:
    """Tell whether the process that made a folder is dead; one elsewhere, on a shared disk, does without."""
    pid = leftover.name.split("-")[1]
    return pid.isdigit() and not Path("/proc", pid).exists()


def _drop(path: Path) -> None:
    """Remove an entry, if this user may."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return time.time()
