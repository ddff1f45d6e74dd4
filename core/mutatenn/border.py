"""The border to plugins: whatever their code raises becomes a PluginError that names the plugin."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any

from mutatenn import errors
from mutatenn.api.backend import Device
from mutatenn.api.capability import kind
from mutatenn.errors import MutatennError, PluginError
from mutatenn.printable import one_line, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from importlib_metadata import Distribution

    from mutatenn.api.backend import Backend
    from mutatenn.api.capability import Capability

GROUP = "mutatenn"
"""The group of the entry points by which plugins are found."""
LONGEST = 400
"""Characters of what an error of a plugin, or a value of it, is shown with."""
OURS = frozenset(
    [
        "mutatenn",
        *(f"mutatenn_{kind}s" for kind in ("mutator", "frontend", "backend", "comparator", "reporter")),
    ]
)
"""The packages of this distribution."""


@contextlib.contextmanager
def calling(plugin: Capability | type[Capability], method: str) -> Iterator[None]:
    """Call a plugin in the body: what it raises becomes a PluginError, and the working directory stays.

    The user's interrupt passes, and so do errors of :mod:`mutatenn.errors`, which the contracts allow, and
    OSErrors of built-ins.
    """
    with staying():
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if is_ours(error) or (isinstance(error, OSError) and is_built_in(_class(plugin))):
                raise  # of a built-in, it tells of the disk or the machine
            raise PluginError(
                f"{named(plugin)}: {method} raised {described(error, _class(plugin))}"
            ) from error


@contextlib.contextmanager
def staying() -> Iterator[None]:
    """Come back to the working directory that the body was entered with: relative paths depend on it."""
    try:
        place = os.getcwd()
    except OSError:  # deleted: there is nothing to come back to
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if not _is_here(place):
                os.chdir(place)


def _is_here(place: str) -> bool:
    try:
        return os.getcwd() == place
    except OSError:
        return False


def is_ours(error: BaseException) -> bool:
    """Tell whether an error is one of :mod:`mutatenn.errors` itself: a subclass may have any exit code."""
    return isinstance(error, MutatennError) and type(error).__module__ == errors.__name__


def broken(plugin: Capability | type[Capability], method: str, promise: str, found: object) -> PluginError:
    """Return the error of a plugin that returned something else than it promises."""
    return PluginError(f"{named(plugin)}: {method} must return {promise}, not {shown(found)}")


def named(plugin: Capability | type[Capability]) -> str:
    """Return a capability's kind, name and distribution, as a message names it."""
    cls = _class(plugin)
    return f"{kind(cls)} {one_line(cls.name)!r} of {_origin(cls)}"


def opened(backend: Backend) -> Device:
    """Return a backend's open device; raises PluginError."""
    with calling(backend, "open"):
        device = backend.open()
    if not isinstance(device, Device):
        raise broken(backend, "open", "a mutatenn.Device", device)
    return device


def is_built_in(cls: type) -> bool:
    """Tell whether a class comes with this distribution."""
    return cls.__module__.partition(".")[0] in OURS


def described(error: BaseException, plugin: object = None) -> str:
    """Return an error's type and message on a line, and where in a plugin's package it came up.

    Whatever its ``__str__`` does.
    """
    text = _one_line(error)
    what = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return shortened(what, LONGEST) + _place(error, _folder(plugin))


def shown(value: object) -> str:
    """Return a value that a plugin returned, on a line: an array by its dtype and shape."""
    shape, dtype = (getattr(value, name, None) for name in ("shape", "dtype"))
    if isinstance(shape, tuple) and dtype is not None:
        return shortened(_one_line(f"an array of {dtype}{list(shape)}"), LONGEST)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return shortened(
            _one_line(repr(value[:LONGEST] if isinstance(value, str | bytes) else value)), LONGEST
        )
    return f"a value of type {type(value).__name__}"


def _one_line(value: object) -> str:
    try:
        return one_line(value)
    except KeyboardInterrupt:
        raise
    except BaseException:  # the plugin's own __str__
        return "(it cannot be shown)"


def distribution_of(cls: type) -> Distribution | None:
    """Return the distribution that a plugin's class comes with, None where that is not known."""
    try:
        import importlib_metadata
    except ImportError:  # on a board, which has no more than a bundle carries
        return None
    package = cls.__module__.partition(".")[0]
    points = importlib_metadata.entry_points(group=GROUP)
    found = (p.dist for p in points if p.value.partition(":")[0].partition(".")[0] == package)
    return next(filter(None, found), None)


def _origin(cls: type) -> str:
    found = distribution_of(cls)
    return one_line(f"{found.name} {found.version}" if found else f"module {cls.__module__}")


def _class(plugin: Any) -> type[Any]:
    return plugin if isinstance(plugin, type) else type(plugin)


def _folder(plugin: Any) -> str:
    """Return the folder of a plugin's package, or its file where it is a module of its own."""
    name = plugin.__name__ if inspect.ismodule(plugin) else _class(plugin).__module__
    file = getattr(sys.modules.get(name), "__file__", None) or ""
    in_package = "." in name or os.path.basename(file) == "__init__.py"
    return os.path.dirname(file) + os.sep if file and in_package else file


def _place(error: BaseException, folder: str) -> str:
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    ours = [place for place in places if folder and place[0].startswith(folder)]
    return f" ({one_line(os.path.basename(ours[-1][0]))}, line {ours[-1][1]})" if ours else ""
