"""What a plugin must be before the host takes it in; every refusal says how to mend the plugin."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any, get_args

import attrs

from mutatenn.api.backend import Backend
from mutatenn.api.command import Command
from mutatenn.api.comparator import Comparator
from mutatenn.api.executor import Executor
from mutatenn.api.frontend import Frontend
from mutatenn.api.mutator import Mutator
from mutatenn.api.values import Category, Level, Stage
from mutatenn.errors import PluginError
from mutatenn.host import hookspecs
from mutatenn.nearest import suggestion
from mutatenn.printable import one_line
from mutatenn.results.reporter import Reporter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pluggy

    from mutatenn.api.capability import Capability, Kind

KINDS: dict[Kind, type[Any]] = {
    "frontend": Frontend,
    "mutator": Mutator,
    "backend": Backend,
    "executor": Executor,
    "comparator": Comparator,
    "reporter": Reporter,
    "command": Command,
}
WORDS: dict[Kind, dict[str, tuple[str, ...]]] = {
    "comparator": {"worse": ("higher", "lower")},
    "mutator": {"level": get_args(Level), "stage": get_args(Stage), "category": get_args(Category)},
}
"""What class attributes may be set to."""
TEXTS: dict[Kind, tuple[str, ...]] = {
    "frontend": ("suffixes", "routes", "schemes"),
    "mutator": ("groups",),
    "backend": ("sources",),
}
"""Class attributes that are tuples of strings."""
HOOKS = tuple(name for name, value in vars(hookspecs).items() if hasattr(value, "mutatenn_spec"))
CATALOGUES: dict[Kind, str] = {kind: f"mutatenn_{kind}s" for kind in KINDS}

_KEBAB = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def check_hooks(plugin: object, manager: pluggy.PluginManager) -> None:
    """Refuse unknown hooks, wrappers and hook functions without their marker; raises PluginError."""
    marked = {name: manager.parse_hookimpl_opts(plugin, name) for name in dir(plugin)}
    for name, options in marked.items():
        if options is None:
            _check_unmarked(plugin, name)
            continue
        hook = options.get("specname") or name
        if hook not in HOOKS and not options.get("optionalhook"):
            raise PluginError(f"there is no hook {hook!r}{suggestion(hook, HOOKS)}")
        if options.get("wrapper") or options.get("hookwrapper"):
            # The host calls one implementation at a time, where a wrapper would do nothing.
            raise PluginError(f"{hook} cannot be wrapped; remove wrapper=True")


def _check_unmarked(plugin: object, name: str) -> None:
    if (
        name in HOOKS
        and inspect.isroutine(value := getattr(plugin, name))
        and not hasattr(value, "mutatenn_spec")
    ):
        raise PluginError(f"{name} would never be called; put @mutatenn.hookimpl above it")


def contributions(kind: Kind, returned: Any) -> Iterator[type[Capability]]:
    """Yield the classes that a catalogue hook returned, each checked; raises PluginError."""
    if isinstance(returned, (str, type)) or not hasattr(returned, "__iter__"):
        raise PluginError(f"{CATALOGUES[kind]} returned {one_line(repr(returned))}; return a list of classes")
    seen: set[str] = set()
    for cls in returned:
        check_capability(kind, cls)
        if cls.name in seen:
            raise PluginError(f"{CATALOGUES[kind]} returned two classes named {cls.name!r}; rename one")
        seen.add(cls.name)
        yield cls


def check_capability(kind: Kind, found: Any) -> None:
    """Refuse what is not a named, documented, concrete class of its kind; raises PluginError."""
    base = KINDS[kind]
    if not (isinstance(found, type) and issubclass(found, base)):
        raise PluginError(f"{one_line(repr(found))} is not a subclass of mutatenn.{base.__name__}")
    cls: type[Capability] = found
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        raise PluginError(f"class {cls.__qualname__} does not define {', '.join(missing)}")
    if missing := _missing_attributes(cls):
        raise PluginError(f"class {cls.__qualname__} does not set {', '.join(missing)}")
    if not (isinstance(cls.name, str) and _KEBAB.fullmatch(cls.name)):
        raise PluginError(
            f"class {cls.__qualname__} has the name {cls.name!r}; names are kebab case, like 'top-1'"
        )
    if not cls.summary():
        raise PluginError(f"class {cls.__qualname__} has no docstring; its first line is shown to users")
    for attribute, allowed in WORDS.get(kind, {}).items():
        if (word := getattr(cls, attribute)) not in allowed:
            listed = ", ".join(map(repr, allowed))
            raise PluginError(
                f"class {cls.__qualname__} sets {attribute} = {one_line(repr(word))}; it is one of {listed}"
            )
    for attribute in ("packages", *TEXTS.get(kind, ())):
        texts = getattr(cls, attribute)
        if not (isinstance(texts, tuple) and all(isinstance(text, str) for text in texts)):
            raise PluginError(f"class {cls.__qualname__} must set {attribute} to a tuple of strings")
    if required := _required_options(cls):
        raise PluginError(f"class {cls.__qualname__} has options without a default: {', '.join(required)}")


def _missing_attributes(cls: type) -> list[str]:
    declared = {
        name
        for base in cls.__mro__
        for name, annotation in inspect.get_annotations(base).items()
        if "ClassVar" in str(annotation)
    }
    return sorted(name for name in declared if not hasattr(cls, name))


def _required_options(cls: type) -> list[str]:
    fields = attrs.fields(cls) if attrs.has(cls) else ()
    return [field.name for field in fields if field.init and field.default is attrs.NOTHING]
