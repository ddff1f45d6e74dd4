"""Processors of other machines, through TVM's RPC servers."""

from __future__ import annotations

import contextlib
import importlib.util
from typing import Any

import attrs

from mutatenn import Backend, InputError, hookimpl, ir
from mutatenn_backends._cpu.processor import NATIVE
from mutatenn_backends._rpc.connect import SERVER, Address, count_servers, open_server, open_tracked
from mutatenn_backends._rpc.device import RemoteCpu, close_session, losses
from mutatenn_backends._rpc.library import helper_library
from mutatenn_backends.llvm import Llvm

PACKAGES = ("tornado", "cloudpickle", "psutil")
SUMMARY_SECONDS = 5.0
TRIPLE = ("architecture", "vendor", "system", "environment")


@attrs.frozen(kw_only=True)
class Rpc(Llvm):
    """The CPU of another machine, through TVM's RPC.

    A server is named by ``host`` and ``port``, or several by ``tracker`` (``host:port``) and ``key``.
    ``mtriple`` (such as ``aarch64-linux-gnu``), ``mcpu`` and ``mattr`` describe its processor to LLVM;
    without them it must be like this machine's. Opening waits ``connect_timeout`` seconds for a free device;
    a server ends a session after ``session_timeout`` seconds (0: never), whatever runs then.
    """

    name = "rpc"
    packages = ("cloudpickle", "tornado")
    shares_fork = False
    host: str = "127.0.0.1"
    port: int = attrs.field(default=9090, validator=attrs.validators.in_(range(1, 2**16)))
    tracker: str = ""
    key: str = ""
    connect_timeout: float = attrs.field(default=20.0, validator=attrs.validators.gt(0))
    session_timeout: float = attrs.field(default=0.0, validator=attrs.validators.ge(0))

    @property
    def places(self) -> int:
        """How many servers the tracker knows, or the one that is named."""
        if not self.tracker:
            return 1
        try:
            return max(1, count_servers(Address.parse(self.tracker), self.key, SUMMARY_SECONDS))
        except OSError:
            return 1  # opening tells what is wrong

    def open(self) -> RemoteCpu:
        """Open a session; raises InputError, and DeviceLostError where no device is free in time."""
        if self.tracker and not self.key:
            raise InputError("a tracker knows devices by their keys; set key to the --key of your servers")
        helpers = helper_library(self.target())
        where, session = self._connect()
        try:
            self._check_processor(session, where)
            return RemoteCpu(session, self.target(), helpers, where)
        except RuntimeError as error:
            close_session(session)
            raise InputError(
                f"{where} cannot run code for {self.target()}; set mtriple and mcpu as it has them ({error})"
            ) from error
        except BaseException:
            close_session(session)
            raise

    def _connect(self) -> tuple[str, Any]:
        limits = self.connect_timeout, self.session_timeout
        if self.tracker:
            tracker = Address.parse(self.tracker)
            return f'"{self.key}" of tracker {tracker}', open_tracked(tracker, self.key, *limits)
        server = Address(self.host, self.port)
        return str(server), open_server(server, self.key, *limits)

    def _check_processor(self, session: Any, where: str) -> None:
        """Raise InputError if code for this processor would go to another, where that can be told."""
        if self.mtriple or self.mcpu != NATIVE:
            return
        codegen = ir.tvm.target.codegen
        for option, name in (("mtriple", "llvm_get_system_triple"), ("mcpu", "llvm_get_system_cpu")):
            mine, theirs = _plain(getattr(codegen, name)()), _plain(_ask(session, f"target.{name}", where))
            if theirs not in ("", mine):
                raise InputError(f'{where} is {theirs}, this machine is {mine}; set {option} = "{theirs}"')

    @classmethod
    def diagnose(cls) -> tuple[bool, str]:
        """Tell whether servers can be used, and started here."""
        if ir.tvm.get_global_func("rpc.Connect", allow_missing=True) is None:
            return False, "this build of TVM has no RPC; install the apache-tvm wheel"
        if packages := missing():
            return True, f"uses servers; to start one here ({packages} missing): pip install 'mutatenn[rpc]'"
        return True, f"uses servers; start one with: {SERVER} --key K"


def _plain(name: str) -> str:
    """Return a triple without the vendor, who says nothing of the code, and anything else as it is."""
    parts = name.split("-")
    return "-".join([parts[0], *parts[2:]]) if len(parts) == len(TRIPLE) else name


def _ask(session: Any, question: str, where: str) -> str:
    """Return what a function of the server returns, "" if it has none of the name (the bare runtime)."""
    with losses(where), contextlib.suppress(AttributeError):
        return str(session.get_function(question)())
    return ""


def missing() -> str:
    """Return the packages that servers and trackers need and that are not installed, "" for none."""
    return ", ".join(package for package in PACKAGES if importlib.util.find_spec(package) is None)


@hookimpl
def mutatenn_backends() -> list[type[Backend]]:
    """Contribute the backend."""
    return [Rpc]
