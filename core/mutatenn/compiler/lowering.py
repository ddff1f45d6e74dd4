"""Takes kernels through their stages for one backend, and remembers on disk what they came to."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.api.program import Kernel
from mutatenn.border import broken, calling, is_built_in
from mutatenn.code_digest import source_digest
from mutatenn.compiler import ir, kernels, lane_masks, rounding
from mutatenn.compiler.cache import cached_bytes, kernel_cache, text_digest
from mutatenn.compiler.kernels import as_build_error, lower_kernel
from mutatenn.compiler.monitor import watch
from mutatenn.errors import BuildError, InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mutatenn.api.backend import Backend
    from mutatenn.api.values import Bounds, Stage


@attrs.define(eq=False)
class Lowering:
    """From PrimFuncs at any stage to kernels.

    A kernel whose digest is remembered from an earlier run is only lowered when somebody asks for its IR.
    """

    backend: Backend
    target: Any = attrs.field(init=False)
    context: str = attrs.field(init=False, default="")
    """What all that is remembered depends on; empty: nothing is remembered."""
    _kernels: dict[str, Kernel] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        with calling(self.backend, "target"):
            self.target = self.backend.target()
        if not isinstance(self.target, ir.tvm.target.Target):
            raise broken(self.backend, "target", "a tvm.target.Target", self.target)
        with calling(self.backend, "schedule_identity"):
            identity = str(self.backend.schedule_identity())
        code = _code(type(self.backend))
        if identity and code and kernel_cache():
            self.context = " ".join([ir.tvm.__version__, *code, identity, str(self.target)])

    def advance(self, function: Any, start: Stage, end: Stage = "lowered") -> Any:
        """Return a PrimFunc taken from one stage to the same or a later one; raises BuildError.

        Where a CPU kernel cannot be lowered as scheduled, it is lowered as it was.
        """
        scheduled = function
        if start == "schedulable" and end != "schedulable":
            scheduled = self._scheduled(function)
        if start == "lowered" or end != "lowered":
            return scheduled
        try:
            return lower_kernel(scheduled, self.target)
        except BuildError:
            if scheduled.same_as(function) or "cpu" not in self.target.keys:
                raise
            return lower_kernel(function, self.target)

    def _scheduled(self, function: Any) -> Any:
        if is_built_in(type(self.backend)):
            return as_build_error(self.backend.schedule, function)
        with calling(self.backend, "schedule"):
            found = self.backend.schedule(function)
        if not isinstance(found, ir.tirx.PrimFunc):
            raise broken(self.backend, "schedule", "a PrimFunc", found)
        return found

    def kernel(self, name: str, function: Any, stage: Stage) -> Kernel:
        """Return the kernel that a PrimFunc at a stage comes to; raises BuildError."""
        function = anonymous(function)
        lower = functools.partial(self.advance, function, stage)
        return self._make(name, lower, stage, lambda: str(ir.tvm.ir.save_json(function)))

    def watched(self, kernel: Kernel, bounds: Bounds) -> Kernel:
        """Return a kernel that a fault was put into as it is to be run; see :func:`watch`."""
        identity = f"{kernel.digest} {kernel.checksum} {bounds}"
        make = functools.cache(lambda: self._watch(kernel, bounds))
        monitor = self._noted(f"monitor {identity}", lambda: make()[1])
        if monitor is None:
            return attrs.evolve(kernel, watched=True)
        made = self._make(kernel.name, lambda: make()[0], "watched", lambda: identity)
        return attrs.evolve(made, plain=kernel, watched=True, monitor=monitor)

    def _watch(self, kernel: Kernel, bounds: Bounds) -> tuple[Any, tuple[str, ...] | None]:
        try:
            return watch(kernel.ir, bounds=bounds is not False, strict=bounds is True)
        except MemoryError:  # the mutant's limit
            raise
        except Exception as error:  # of code that TVM rejects, too; else it is a mistake of ours
            kernels.compile_kernel(kernel, self.target)
            raise InfrastructureError(
                f"{kernel.name} cannot be watched ({kernels.last_line(error)}); please report this"
            ) from error

    def _noted(self, key: str, make: Callable[[], tuple[str, ...] | None]) -> tuple[str, ...] | None:
        """Return the texts that ``make`` returns, from the disk if they were made before under this key."""
        if not self.context:
            return make()
        noted = json.loads(cached_bytes(f"{self.context} {key}", lambda: json.dumps(make()).encode()))
        return None if noted is None else tuple(noted)

    def code(self, kernel: Kernel) -> str:
        """Return the digest (hex) of a kernel's generated code, of all kinds the one closest to the device.

        Raises what :meth:`Backend.source` does.
        """
        kind = self.backend.sources[-1]
        cache = kernel_cache() if self.context and kernel.checksum else None
        key = text_digest(f"{self.context} {kind} {kernel.digest}{kernel.checksum}")
        if cache and (known := cache.recall(key)):
            return known[0]
        found = text_digest(self.backend.source(kernel, kind))
        if cache:
            cache.remember(key, found, kind)
        return found

    def _make(self, name: str, lower: Callable[[], Any], how: str, source: Callable[[], str]) -> Kernel:
        if not self.context:
            function = lower()
            return self._intern(Kernel(digest(function), name, function))
        key = text_digest(f"{self.context} {how} {source()}")
        cache = kernel_cache()
        known = cache.recall(key) if cache else None
        if known:
            return self._intern(Kernel(known[0], name, lower=lower, checksum=known[1]))
        function = lower()
        made = Kernel(digest(function), name, function, checksum=text_digest(ir.tvm.ir.save_json(function)))
        if cache:
            cache.remember(key, made.digest, made.checksum)
        return self._intern(made)

    def _intern(self, kernel: Kernel) -> Kernel:
        known = self._kernels.setdefault(kernel.digest, kernel)
        if kernel.checksum and kernel.checksum == known.checksum:
            return known
        if not ir.ffi.structural_equal(known.ir, kernel.ir):
            raise InfrastructureError(
                f"kernels {known.name} and {kernel.name} differ but hash alike; please report this"
            )
        return known


def digest(*parts: Any) -> str:
    """Return the digest of lowered functions, whose attributes name the target, or of whole modules."""
    identity = " ".join(
        [ir.tvm.__version__, _generator(), *(f"{ir.ffi.structural_hash(part):x}" for part in parts)]
    )
    return hashlib.blake2b(identity.encode(), digest_size=16).hexdigest()


@functools.cache
def _generator() -> str:
    """Return the digest of the code that has code generated of what is lowered."""
    content = b"".join(Path(module.__file__ or "").read_bytes() for module in (kernels, lane_masks, rounding))
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _code(cls: type) -> list[str]:
    """Identify this package's code, a class by name, and the code of it and its base classes.

    Empty where that is unknown, as for a class typed into an interpreter.
    """
    try:
        files = [Path(sys.modules[each.__module__].__file__ or "") for each in cls.__mro__[:-1]]
        digests = [hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest() for file in files]
    except (AttributeError, KeyError, OSError):
        return []
    return [source_digest(__file__), cls.__qualname__, *digests]


def anonymous(function: Any) -> Any:
    """Return a PrimFunc without its name."""
    return function.with_attr("global_symbol", "") if "global_symbol" in function.attrs else function
