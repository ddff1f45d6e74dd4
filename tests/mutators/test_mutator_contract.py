"""What our operators promise beyond the contract of all, which tests/testing holds them to."""

from __future__ import annotations

import importlib
import pkgutil
import re
from typing import Any

import pytest

import mutatenn_mutators
from mutatenn import CATEGORIES, Mutator, ir
from mutatenn_mutators._shared.paper import PAPER

MODULES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(mutatenn_mutators.__path__, "mutatenn_mutators.")
    if not module.ispkg and "._" not in module.name
]
OPERATORS: list[type[Mutator]] = [operator for module in MODULES for operator in module.mutatenn_mutators()]


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_module_contributes_by_the_hook(module: Any) -> None:
    assert hasattr(module.mutatenn_mutators, "mutatenn_impl")


def test_names_are_unique() -> None:
    names = [operator.name for operator in OPERATORS]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_operator_introduces_itself(operator: type[Mutator]) -> None:
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", operator.name)
    assert operator.category in CATEGORIES
    assert operator.summary().endswith(".")
    assert "paper" not in operator.groups or operator.origin == PAPER
    assert (operator.level == "graph") == (operator.stage == "graph")


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_descriptions_are_short(operator: type[Mutator]) -> None:
    for example in operator.examples():
        for description in operator().sites(parse(example.before)):
            assert 0 < len(description) <= 140


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_no_sites_chosen_is_no_change(operator: type[Mutator]) -> None:
    unit = parse(operator.examples()[0].before)
    assert ir.ffi.structural_equal(operator().apply(unit, ()), unit)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_missing_site_is_an_index_error(operator: type[Mutator]) -> None:
    unit = parse(operator.examples()[0].before)
    for missing in (-1, len(operator().sites(unit))):
        with pytest.raises(IndexError, match=f"site {missing} does not exist"):
            operator().apply(unit, [missing])


def parse(source: str) -> Any:
    return ir.script.from_source(source)
