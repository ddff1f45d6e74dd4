"""Reads ``[matrix]``: environments as the products of factors."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.campaign.config.readers import Problems, array, by_type, choice, member, problem, table, text
from mutatenn.campaign.config.values import Environment
from mutatenn.compiler.profiles import PROFILES, ablation
from mutatenn.nearest import unknown_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Reader = Callable[[Any], Any]

EXCLUDE = "exclude"
PLAIN = ("model", "route", "profile", "backend")
"""Factors whose levels may be values of the key of the same name."""
MOST = 200
"""Environments: more are a mistake."""


@attrs.frozen
class Level:
    """A level of a factor: its name, and what it sets of an environment; None is nothing."""

    name: str
    backend: str | None = None
    profile: Any = None
    options: dict[str, Any] | None = None
    route: str | None = None
    model: str | None = None
    offline: bool | None = None
    may_fail: bool | None = None

    @property
    def sets(self) -> dict[str, Any]:
        """What it sets, by key."""
        found = attrs.asdict(self, recurse=False, filter=lambda field, _: field.name != "name")
        return {key: value for key, value in found.items() if value is not None}


def matrix(readers: Mapping[str, Reader], name: Reader) -> Callable[[Any], tuple[Environment, ...]]:
    """Return the reader of ``[matrix]``.

    ``readers`` are those of an environment's keys, ``name`` is that of names.
    """
    keys = {key: reader for key, reader in readers.items() if key not in {"name", "factors"}}
    levels = table(Level, name=name, **keys)

    def read(value: Any) -> tuple[Environment, ...]:
        factors = by_type("a table of factors", dict=lambda found: found)(value)
        problems, found = Problems(), dict[str, tuple[Level, ...]]()
        for factor, given in factors.items():
            if factor != EXCLUDE:
                with problems.at(member(factor)):
                    found[factor] = _levels(factor, levels, keys, name)(given)
        with problems.at(f".{EXCLUDE}"):
            excluded = array(_exclusion(found))(factors.get(EXCLUDE, []))
        problems.check()
        if not found:
            raise problem("it has no factor; give one, such as profile = ['basic', 'default']")
        return tuple(_environments(found, excluded))

    return read


def _levels(
    factor: str, levels: Reader, keys: Mapping[str, Reader], name: Reader
) -> Callable[[Any], tuple[Level, ...]]:
    def of_text(value: str) -> Level:
        if factor not in PLAIN:
            raise problem(
                f"{value!r} says nothing of an environment; write {{ name = {value!r}, ... }} with what it "
                f"sets, such as options; only levels of {', '.join(PLAIN)} are plain"
            )
        return Level(name(value), **{factor: keys[factor](value)})

    each = by_type("a name or a table { name = ... }", str=of_text, dict=levels)
    listed = array(each, least=1, key=lambda level: level.name)
    if factor != "profile":
        return listed
    told = "a list of levels, or { ablation = NAME } for those that tell what single passes do"
    return by_type(told, list=listed, dict=_ablation)


@attrs.frozen
class Ablation:
    """Levels that tell what the passes of a profile do, one by one and, on request, in pairs."""

    ablation: str
    pairs: bool = False


def _ablation(value: dict[str, Any]) -> tuple[Level, ...]:
    yes = by_type("true or false", bool=bool)
    found = table(Ablation, ablation=choice(*(set(PROFILES) - {"basic"})), pairs=yes)(value)
    profiles = ablation(found.ablation, pairs=found.pairs)
    return tuple(Level(name, profile=each, may_fail=name != "basic") for name, each in profiles.items())


def _exclusion(factors: Mapping[str, tuple[Level, ...]]) -> Callable[[Any], dict[str, str]]:
    def read(value: Any) -> dict[str, str]:
        found = by_type("a table of factors and levels", dict=lambda given: given)(value)
        problems = Problems()
        for factor, level in found.items():
            with problems.at(member(factor)):
                if factor not in factors:
                    raise problem(unknown_name("factor", factor, factors))
                known = [each.name for each in factors[factor]]
                if text(level) not in known:
                    raise problem(unknown_name("level", level, known))
        problems.check()
        return dict(found)

    return read


def _environments(
    factors: Mapping[str, tuple[Level, ...]], excluded: tuple[dict[str, str], ...]
) -> Iterator[Environment]:
    """Yield an environment for each product that is not excluded, the last factor changing fastest."""
    number = 0
    for levels in itertools.product(*factors.values()):
        names = {factor: level.name for factor, level in zip(factors, levels, strict=True)}
        if any(each.items() <= names.items() for each in excluded):
            continue
        number += 1
        if number > MOST:
            raise problem(f"more than {MOST} environments; exclude some, or take fewer levels")
        yield Environment("-".join(names.values()), factors=names, **_together(factors, levels))
    if not number:
        raise problem("all environments are excluded; leave one")


def _together(factors: Mapping[str, tuple[Level, ...]], levels: tuple[Level, ...]) -> dict[str, Any]:
    """Return what some levels set; options of several are put together."""
    found: dict[str, Any] = {}
    by: dict[str, str] = {}
    for factor, level in zip(factors, levels, strict=True):
        for key, value in level.sets.items():
            if key == "options":
                value = {**found.get(key, {}), **value}  # noqa: PLW2901  # what is set
            elif key in found:
                raise problem(f"factors {by[key]!r} and {factor!r} both set {key}; let one of them")
            found[key], by[key] = value, factor
    return found
