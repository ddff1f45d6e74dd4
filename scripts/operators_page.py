"""Writes docs/operators.md, the page about every built-in mutation operator, from the code."""

from __future__ import annotations

import difflib
import inspect
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from mutatenn.api.values import CATEGORIES
from mutatenn.host.plugin_host import PluginHost
from mutatenn_mutators._shared.paper import MUTATIONS, PAPER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn import Example, Mutator

    Operators = Sequence[type[Mutator]]

PAGE = Path(__file__).parents[1] / "docs" / "operators.md"
INTRODUCTION = """\
# Mutation operators

<!-- Made from the code by scripts/operators_page.py; change the docstrings there, not this page. -->

A campaign file selects operators by name, group, category or level (`graph`; `kernel` or `tir`), or `all`:

    [[mutations]]
    operator = "gaussian-fuzz-weights"
    options = { sigma = 0.1 }

- The group `faults` is what nobody would let pass in compiled code: `bugs` and `paper`, without `rounding`,
  the paper's operators that change a value by about as much as float16 or another order of additions does.
- The *level* says what is changed: the graph of layers, or the code of one kernel. Graph operators work on
  the imported model, kernel operators at the stage named here, or at the one that the campaign file names
  (schedulable, scheduled, lowered).
- *Options* are shown with their defaults.
- The *example*, in TVMScript, is one that the tests hold the operator to.

`mutatenn plugins --kind mutator` lists these and those of other plugins; `mutatenn plan FILE` counts their
sites in a model.
"""
GROUPS = {
    "paper": f"The operators of *{PAPER}*.",
    "weights": (
        "Faults of a trained network rather than of its compilation: in stored weights, neurons and layers. "
        "A mutant of weights alone compiles no kernel."
    ),
    "bugs": "Modelled on real bugs of compilers, converters and runtimes.",
    "": "Selected by name, category or level.",
}
"""What is said of a group at its top; the groups that are not here follow in alphabetical order."""
COUNT = """\
The paper counts {count} mutations. One of convolutions and dense layers is two operators here, one for each
kind of layer; number 5 is 3 and 4 selected together.

| | Category | Mutation of the paper | Operators |
| ---: | --- | --- | --- |
{rows}

In the paper's spirit or its tool, but not among the {count}: {beyond}; outside this group {others},
the last of which is the general form of number {count}. What each matches, in the paper's Relay and in this
Relax, stands in [paper-sites.md](paper-sites.md#what-was-matched)."""
FRAME = ("with R.dataflow():", "R.output(y)")
"""Lines of the graphs that examples are in."""


def operators() -> list[type[Mutator]]:
    """Return the built-in operators, by name."""
    every = PluginHost.installed().mutators()
    return [every[name] for name in sorted(every) if every[name].__module__.startswith("mutatenn_mutators.")]


def page() -> str:
    """Return the page."""
    groups: dict[str, list[type[Mutator]]] = {}
    for operator in operators():
        groups.setdefault(operator.groups[0] if operator.groups else "", []).append(operator)
    order = [name for name in GROUPS if name]
    names = [*order, *sorted(groups.keys() - GROUPS.keys()), ""]
    contents = "".join(_contents(name, groups[name]) for name in names if name in groups)
    sections = "".join(_group(name, groups[name]) for name in names if name in groups)
    return f"{INTRODUCTION}\n| Group | Operators |\n| --- | --- |\n{contents}{sections}"


def _contents(name: str, members: Operators) -> str:
    links = ", ".join(f"[{each.name}](#{each.name})" for each in members)
    return f"| [{_title(name)}](#{name or 'no-group'}) | {links} |\n"


def _title(name: str) -> str:
    return f"`{name}`" if name else "no group"


def _group(name: str, members: Operators) -> str:
    origins = Counter(each.origin for each in members if each.origin)
    common, count = origins.most_common(1)[0] if origins else ("", 0)
    common = common if 2 * count > len(members) else ""
    text = [f"\n## {_title(name).capitalize()}\n", GROUPS.get(name, "")]
    if name == "paper":
        text.append(_paper(members))
    elif common:
        text.append(f"Unless an operator says otherwise it comes from *{common}*.")
    blocks = "\n\n".join(part.strip() for part in text if part)
    return f"\n{blocks}\n" + "".join(_operator(each, common) for each in members)


def _paper(members: Operators) -> str:
    """Return how the paper's mutations are counted, and what there is beyond them."""
    rows = [
        f"| {number} | {category} | {what} | {_links(names)} |"
        for number, (category, what, names) in enumerate(MUTATIONS, start=1)
    ]
    counted = {name for _, _, names in MUTATIONS for name in names}
    beyond = _links([each.name for each in members if each.name not in counted])
    others = _links(["subtract-bias", "le-to-lt", "change-threshold"])
    return COUNT.format(count=len(MUTATIONS), rows="\n".join(rows), beyond=beyond, others=others)


def _links(names: Sequence[str]) -> str:
    return ", ".join(f"[{name}](#{name})" for name in names)


def _operator(operator: type[Mutator], common: str) -> str:
    category = operator.category
    facts = [f"Category {category}, {CATEGORIES[category]}"] if category != "OTHER" else []
    facts.append(f"level {operator.level}")
    if operator.level == "kernel":
        facts.append(f"stage {operator.stage}")
    lines = [f"\n### {operator.name}\n", *_prose(operator), f"*{_sentence(facts)}*\n"]
    if options := _options(operator):
        lines.append(f"Options: {options}.\n")
    if operator.origin not in ("", common):
        lines.append(f"From: {operator.origin}.\n")
    lines += ["```diff", *_diff(operator.examples()[0]), "```"]
    return "\n".join(lines) + "\n"


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def _prose(operator: type[Mutator]) -> Iterator[str]:
    """Yield the docstring's paragraphs as Markdown."""
    for paragraph in (inspect.getdoc(operator) or "").split("\n\n"):
        yield re.sub(r"``(.+?)``", r"`\1`", paragraph).strip() + "\n"


def _options(operator: type[Mutator]) -> str:
    fields = [field for field in attrs.fields(operator) if field.init] if attrs.has(operator) else []
    return ", ".join(f"`{field.name} = {_toml(field.default)}`" for field in fields)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _diff(example: Example) -> list[str]:
    """Return the changed lines of an example, each with those around it, without their common indent."""
    before, after = example.before.splitlines(), example.after.splitlines()
    lines = list(difflib.unified_diff(before, after, n=1, lineterm=""))[3:]
    code = [line for line in lines if line[1:].strip() and line[1:].strip() not in FRAME]
    indent = min(len(line) - len(line[1:].lstrip()) for line in code if not line.startswith("@@"))
    return [" ..." if line.startswith("@@") else line[0] + line[indent:] for line in code]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
