"""Discovers plugins and stands between them and the rest of core."""

from __future__ import annotations

import functools
import inspect
import logging
import os
from typing import TYPE_CHECKING, Any, Literal, cast, overload

import attrs
import importlib_metadata
import pluggy

from mutatenn.border import GROUP, described, staying
from mutatenn.errors import InputError, PluginError
from mutatenn.host import hookspecs
from mutatenn.host.admission import CATALOGUES, KINDS, check_hooks, contributions
from mutatenn.nearest import suggestion
from mutatenn.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mutatenn.api.backend import Backend
    from mutatenn.api.capability import Capability, Kind
    from mutatenn.api.command import Command
    from mutatenn.api.comparator import Comparator
    from mutatenn.api.executor import Executor
    from mutatenn.api.frontend import Frontend
    from mutatenn.api.mutant import Mutant
    from mutatenn.api.mutator import Mutator
    from mutatenn.results.reporter import Reporter

log = logging.getLogger(__name__)
BLOCK_VARIABLE = "MUTATENN_BLOCK_PLUGINS"
CORE = "mutatenn itself"
"""The name under which core registers what is its own: whoever offers the same, core's stays."""


@attrs.frozen
class Contribution:
    """One capability of a plugin; ``clash`` tells who else offers the name, and is empty if nobody does."""

    kind: Kind
    name: str
    summary: str
    clash: str = ""


@attrs.frozen
class PluginRecord:
    """One discovered plugin: where it comes from, how it is, what it provides.

    ``name`` is the entry point's name, ``target`` its module, ``reason`` why the state is not
    ``active``, ``summary`` the first line of the module's docstring. ``provides`` is empty for a plugin
    that only listens, and for one that is blocked or broken.
    """

    name: str
    target: str
    distribution: str
    version: str
    state: Literal["active", "blocked", "broken", "clash"]
    reason: str = ""
    summary: str = ""
    provides: tuple[Contribution, ...] = ()

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """What kinds it provides; while that is unknown, the kind its name promises (``mutators.x``)."""
        promised = self.name.partition(".")[0]
        provided = {contribution.kind for contribution in self.provides}
        return tuple(kind for kind in KINDS if kind in provided or (not provided and promised == f"{kind}s"))


class PluginHost:
    """A plugin manager with typed catalogues, isolated events and a readable inventory.

    A host starts empty; :meth:`discover` takes in what is installed, except for the entry points in
    ``blocked`` and in the environment variable ``MUTATENN_BLOCK_PLUGINS`` (comma-separated).
    """

    def __init__(self, blocked: Iterable[str] = ()) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        listed = os.environ.get(BLOCK_VARIABLE, "").split(",")
        self._blocked = {name for name in (*blocked, *map(str.strip, listed)) if name}
        self._records: dict[tuple[str, ...], PluginRecord] = {}
        self._offers: dict[tuple[Kind, str], dict[str, type[Capability]]] = {}
        self._told: set[tuple[str, str]] = set()

    @classmethod
    def installed(cls, blocked: Iterable[str] = ()) -> PluginHost:
        """Return a host with every installed plugin; see :meth:`discover`."""
        host = cls(blocked)
        host.discover()
        return host

    def discover(self, kind: Kind | None = None) -> None:
        """Register every installed plugin; a broken one is listed in :attr:`records` and left out.

        With a kind, only those that may provide it: of the built-ins those that are named after it, and all
        others. What has been discovered before stays as it is. Raises :class:`mutatenn.InputError` if a name
        to block is not the name of an installed plugin, unless a kind is given.
        """
        points = _installed()
        if kind is None:
            self._check_blocked([point.name for point in points.values()])
        for key, point in points.items():
            if key not in self._records and _may_provide(point, kind):
                rivals = [each for each in points.values() if each.name == point.name and each is not point]
                self._records[key] = self._admit(point, rivals)
        for offered, name in self._offers:
            clash = self._clash(offered, name)
            if clash and kind in (None, offered) and (offered, name) not in self._told:
                self._told.add((offered, name))
                log.warning("%s", clash)

    def _check_blocked(self, names: Sequence[str]) -> None:
        for name in sorted(self._blocked.difference(names)):
            hint = suggestion(name, names) or f"; known are: {', '.join(names) or 'none'}"
            raise InputError(f"cannot block plugin {name!r}: it is not installed{hint}")

    def _admit(
        self, point: importlib_metadata.EntryPoint, rivals: Sequence[importlib_metadata.EntryPoint]
    ) -> PluginRecord:
        record = PluginRecord(point.name, point.value, *_origin(point), "active")
        if point.name in self._blocked:
            reason = f"named by --block-plugin or {BLOCK_VARIABLE}"
            return attrs.evolve(record, state="blocked", reason=reason)
        try:
            _check_rivals(point, rivals)
            plugin = _load(point)
            self.register(plugin, point.name)
            self._check_useful(point.name)
        except PluginError as error:
            log.warning("plugin %s is broken: %s", point.name, error)
            return attrs.evolve(record, state="broken", reason=one_line(error))
        summary = (inspect.getdoc(plugin) or "").partition("\n")[0]
        return attrs.evolve(record, summary=one_line(summary))

    def _check_useful(self, name: str) -> None:
        callers = self._manager.get_hookcallers(self._manager.get_plugin(name)) or []
        if self._provided(name) or any(caller.name not in CATALOGUES.values() for caller in callers):
            return
        self.unregister(name)
        raise PluginError(
            "it contributes nothing; define a hook such as mutatenn_mutators, marked @mutatenn.hookimpl, "
            "that returns a class"
        )

    def register(self, plugin: object, name: str) -> None:
        """Register one plugin object, or raise :class:`mutatenn.PluginError` and leave no trace of it."""
        if self._manager.has_plugin(name):
            raise PluginError(f"plugin {name!r} is already registered")
        if other := self._manager.get_name(plugin):
            raise PluginError(f"plugin {name!r} is already registered as {other!r}")
        try:
            check_hooks(plugin, self._manager)
            self._manager.register(plugin, name=name)
            offered = self._ask(plugin)
        except BaseException as error:  # a plugin's classes may fail in any way when looked at
            self._manager.unregister(name=name)
            if isinstance(error, PluginError | KeyboardInterrupt):
                raise
            raise PluginError(described(error, plugin)) from error
        for kind, cls in offered:
            self._offers.setdefault((kind, cls.name), {})[name] = cls

    def unregister(self, name: str) -> None:
        """Forget a plugin and what it offers."""
        self._manager.unregister(name=name)
        for offers in self._offers.values():
            offers.pop(name, None)

    def _ask(self, plugin: object) -> list[tuple[Kind, type[Capability]]]:
        offered: list[tuple[Kind, type[Capability]]] = []
        for kind, hook in CATALOGUES.items():
            caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
            for impl in caller.get_hookimpls():
                if impl.plugin is plugin:
                    offered += [(kind, cls) for cls in contributions(kind, _call(impl))]
        return offered

    @property
    def records(self) -> tuple[PluginRecord, ...]:
        """Every discovered plugin, sorted by name."""
        return tuple(self._with_clashes(self._records[key]) for key in sorted(self._records))

    def _with_clashes(self, record: PluginRecord) -> PluginRecord:
        if record.state != "active":
            return record
        provides = self._provided(record.name)
        reason = "; ".join(contribution.clash for contribution in provides if contribution.clash)
        return attrs.evolve(record, state="clash" if reason else "active", reason=reason, provides=provides)

    def _provided(self, plugin: str) -> tuple[Contribution, ...]:
        return tuple(
            Contribution(kind, name, one_line(offers[plugin].summary()), self._clash(kind, name))
            for (kind, name), offers in sorted(self._offers.items())
            if plugin in offers
        )

    def _clash(self, kind: Kind, name: str) -> str:
        """Return an error that names all who offer the same name, and the cure; empty for no clash."""
        owners = sorted(self._offers.get((kind, name), ()), key=lambda owner: (owner != CORE, owner))
        if len(owners) < 2:  # noqa: PLR2004 - it takes two to clash
            return ""
        return (
            f"{_noun(kind)} {name!r} comes from plugins {' and '.join(map(repr, owners))}; "
            f"block all but one, as in --block-plugin {owners[-1]} or {BLOCK_VARIABLE}={owners[-1]}"
        )

    def frontends(self) -> dict[str, type[Frontend]]:
        """Return the frontends by name, sorted; as in every catalogue, names that clash are left out."""
        return self._catalogue("frontend")

    def mutators(self) -> dict[str, type[Mutator]]:
        """Return the mutation operators by name, sorted."""
        return self._catalogue("mutator")

    def backends(self) -> dict[str, type[Backend]]:
        """Return the backends by name, sorted."""
        return self._catalogue("backend")

    def executors(self) -> dict[str, type[Executor]]:
        """Return the executors by name, sorted."""
        return self._catalogue("executor")

    def comparators(self) -> dict[str, type[Comparator]]:
        """Return the comparators by name, sorted."""
        return self._catalogue("comparator")

    def reporters(self) -> dict[str, type[Reporter]]:
        """Return the reporters by name, sorted."""
        return self._catalogue("reporter")

    def commands(self) -> dict[str, type[Command]]:
        """Return the commands by name, sorted."""
        return self._catalogue("command")

    def _catalogue(self, kind: Kind) -> dict[str, Any]:
        return {
            name: offers.get(CORE) or next(iter(offers.values()))
            for (offered, name), offers in sorted(self._offers.items())
            if offered == kind and (len(offers) == 1 or CORE in offers)
        }

    @overload
    def get(self, kind: Literal["frontend"], name: str) -> type[Frontend]: ...
    @overload
    def get(self, kind: Literal["mutator"], name: str) -> type[Mutator]: ...
    @overload
    def get(self, kind: Literal["backend"], name: str) -> type[Backend]: ...
    @overload
    def get(self, kind: Literal["executor"], name: str) -> type[Executor]: ...
    @overload
    def get(self, kind: Literal["comparator"], name: str) -> type[Comparator]: ...
    @overload
    def get(self, kind: Literal["reporter"], name: str) -> type[Reporter]: ...
    @overload
    def get(self, kind: Literal["command"], name: str) -> type[Command]: ...
    def get(self, kind: Kind, name: str) -> type[Any]:
        """Return one capability by kind and name.

        Raises :class:`mutatenn.PluginError` if several plugins offer the name, and
        :class:`mutatenn.InputError`, with the nearest valid name, if none does.
        """
        catalogue = self._catalogue(kind)
        if cls := catalogue.get(name):
            return cast("type[Any]", cls)
        if clash := self._clash(kind, name):
            raise PluginError(clash)
        for record in self._records.values():
            if record.name == f"{kind}s.{name}" and record.state != "active":
                raise InputError(
                    f"{_noun(kind)} {name!r} is not available: its plugin is {record.state}: {record.reason}"
                )
        hint, listing = suggestion(name, catalogue) or ";", "--help" if kind == "command" else "plugins"
        raise InputError(f"unknown {_noun(kind)} {name!r}{hint} `mutatenn {listing}` lists all")

    def modify_plan(self, plan: list[Mutant], environment: str) -> None:
        """Let every plugin drop or reorder an environment's planned mutants in place, one after another.

        Raises :class:`mutatenn.PluginError`, naming the plugin, if one fails, or adds or changes mutants.
        """
        for impl in reversed(self._manager.hook.mutatenn_modify_plan.get_hookimpls()):
            planned = {id(mutant): mutant for mutant in plan}
            try:
                _call(impl, plan=plan, environment=environment)
            except PluginError as error:
                raise PluginError(f"plugin {impl.plugin_name!r}: {error}") from error
            left = [id(mutant) for mutant in plan]
            if len(set(left)) < len(left) or not planned.keys() >= set(left):
                raise PluginError(
                    f"plugin {impl.plugin_name!r} added mutants to the plan; it may drop or reorder them"
                )

    def emit(self, event: str, **payload: object) -> None:
        """Call every listener of an event; one that raises is logged by name, once, and silences no other."""
        caller: pluggy.HookCaller = getattr(self._manager.hook, event)
        if caller.spec is None or set(payload) != set(caller.spec.argnames):
            raise TypeError(f"{event} takes {', '.join(caller.spec.argnames) if caller.spec else 'nothing'}")
        for impl in reversed(caller.get_hookimpls()):
            try:
                _call(impl, **payload)
            except PluginError as error:  # noqa: PERF203 - a listener must not silence the next
                self._tell(impl.plugin_name, event, error)

    def _tell(self, plugin: str, event: str, error: PluginError) -> None:
        if (plugin, event) not in self._told:
            self._told.add((plugin, event))
            log.error("plugin %s failed in %s: %s", plugin, event, error)


def _noun(kind: Kind) -> str:
    return "operator" if kind == "mutator" else kind


def _installed() -> dict[tuple[str, ...], importlib_metadata.EntryPoint]:
    """Return the entry points of all plugins by what tells them apart, sorted."""
    found = {
        (point.name, *_origin(point), point.value): point
        for point in importlib_metadata.entry_points(group=GROUP)
    }
    return dict(sorted(found.items()))


def _may_provide(point: importlib_metadata.EntryPoint, kind: Kind | None) -> bool:
    """Tell whether a plugin may provide a kind: of the built-ins, the name says what they do provide."""
    return kind is None or _origin(point)[0] != GROUP or point.name.startswith(f"{kind}s.")


def _origin(point: importlib_metadata.EntryPoint) -> tuple[str, str]:
    if not point.dist:
        return "", ""
    return _name_and_version(point.dist)  # type: ignore[arg-type]  # each can be hashed


@functools.cache  # what tells them is a file with a whole README in it, parsed anew each time
def _name_and_version(distribution: importlib_metadata.Distribution) -> tuple[str, str]:
    return distribution.name, distribution.version


def _check_rivals(
    point: importlib_metadata.EntryPoint, rivals: Sequence[importlib_metadata.EntryPoint]
) -> None:
    """Refuse a name that several distributions take; only the built-ins must not be stopped by others."""
    others = ", ".join(" ".join(_origin(rival)) for rival in rivals)
    if others and _origin(point)[0] != GROUP:
        raise PluginError(
            f"the entry point {point.name!r} exists in {others} too; rename one or uninstall a distribution"
        )


def _load(point: importlib_metadata.EntryPoint) -> object:
    try:
        with staying():
            plugin = point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may fail in any way at import
        raise PluginError(f"cannot import {point.value}: {described(error)}") from error
    if inspect.isclass(plugin):
        raise PluginError(f"{point.value} is a class; point the entry point at a module")
    return cast("object", plugin)


def _call(impl: pluggy.HookImpl, **payload: object) -> Any:
    """Call one implementation with the arguments it takes; raises PluginError for whatever it raises."""
    hook = impl.function.__name__
    try:
        with staying():
            return impl.function(*(payload[name] for name in impl.argnames))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise PluginError(f"{hook} raised {described(error, impl.plugin)}") from error
