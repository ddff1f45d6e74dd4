"""Checks what a mutation operator promises, on its own examples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn.compiler import ir
from mutatenn.testing.promises import check_class, require

if TYPE_CHECKING:
    from mutatenn.api.mutator import Mutator
    from mutatenn.api.values import Example


def check_mutator(cls: type[Mutator]) -> None:
    """Check an operator with its default options, on its own examples.

    They hold; sites are described on one line each, always the same; applying is deterministic, changes
    something at every site, leaves its argument alone, and raises IndexError where there is no site.
    """
    check_class("mutator", cls)
    require((cls.level == "graph") == (cls.stage == "graph"), f"{cls.name}: stage suits level {cls.level}")
    examples = list(cls.examples())
    require(bool(examples), f"{cls.name} has at least one example")
    for number, example in enumerate(examples):
        _check_example(cls(), example, f"{cls.name}, example {number}")


def _check_example(mutator: Mutator, example: Example, title: str) -> None:
    before, pristine, after = map(ir.script.from_source, (example.before, example.before, example.after))
    sites = list(mutator.sites(before))
    require(
        all(isinstance(site, str) and len(site.splitlines()) == 1 for site in sites),
        f"{title}: sites are lines",
    )
    require(set(example.sites) <= set(range(len(sites))), f"{title}: sites {example.sites} are among {sites}")
    changed = mutator.apply(before, example.sites)
    require(_same(changed, after), f"{title}: applying gives the promised code, not\n{changed}")
    require(not _same(pristine, after), f"{title}: before and after differ")
    require(_same(mutator.apply(before, example.sites), changed), f"{title}: applying again gives the same")
    for site in range(len(sites)):
        one = mutator.apply(before, (site,))
        require(not _same(one, pristine), f"{title}: site {site} ({sites[site]}) can be changed")
    for site in (-1, len(sites)):
        require(_refuses(mutator, before, site), f"{title}: site {site} of {len(sites)} raises IndexError")
    require(_same(before, pristine), f"{title}: the argument is not modified")
    require(list(mutator.sites(before)) == sites, f"{title}: sites are the same every time")


def _same(one: Any, other: Any) -> bool:
    return bool(ir.ffi.structural_equal(one, other))


def _refuses(mutator: Mutator, unit: Any, site: int) -> bool:
    try:
        mutator.apply(unit, (site,))
    except IndexError:
        return True
    return False
