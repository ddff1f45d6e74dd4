"""Writes the contracts, hooks and public names in docs/plugins.md, from the code; the text around them stays.

python scripts/plugins_page.py

What is made stands between a line ``<!-- made: WHAT NAME -->`` and the next ``<!-- end -->``.
"""

from __future__ import annotations

import ast
import inspect
import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import mutatenn
from mutatenn import testing
from mutatenn.host import hookspecs
from mutatenn.host.admission import CATALOGUES, HOOKS, KINDS
from mutatenn.host.plugin_host import PluginHost

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mutatenn import Kind

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "plugins.md"
PART = re.compile(r"<!-- made: (\S+) ?(\S*) -->\n.*?<!-- end -->", re.DOTALL)
CHOSEN: dict[Kind, str] = {
    "frontend": "`[model]`: the one that reads `path`, knows the scheme of `source`, or is named `frontend`",
    "mutator": "`[[mutations]] operator`, by name or by group",
    "backend": "`[[environments]] backend`",
    "executor": "`[execution] executor`, or else the backend's property `executor`",
    "comparator": "`[oracles] kill` and `also`; `mutatenn score --kill`",
    "reporter": "`[[reporters]]`; `--reporter`",
    "command": "`mutatenn NAME`",
}
"""Where a user names a capability of each kind."""
CHECKS: dict[str, str] = {"backend": "check_device"}
"""The checks that are not named after their kind."""


def page(text: str) -> str:
    """Return the page with all that is made from the code made anew."""
    return PART.sub(lambda found: f"<!-- made: {_key(found)} -->\n{_made(found)}\n<!-- end -->", text)


def parts(text: str) -> set[str]:
    """Return what is made in a page, as its markers name it."""
    return {_key(found) for found in PART.finditer(text)}


def wanted() -> set[str]:
    """Return what must be made in the page: every contract, hook and check, and the tables."""
    contracts = {f"contract {cls.__name__}" for cls in (*KINDS.values(), mutatenn.Device)}
    checks = {f"check {name}" for name in testing.__all__}
    return contracts | checks | {f"hook {name}" for name in HOOKS} | {"kinds", "order", "names"}


def _key(found: re.Match[str]) -> str:
    return " ".join(filter(None, found.groups()))


def _made(found: re.Match[str]) -> str:
    what, name = found.groups()
    return MAKERS[what](name)


def contract(name: str) -> str:
    """Return the source of a public class without the bodies of its methods, and without private ones."""
    return _code(_outline(inspect.getsource(getattr(mutatenn, name))))


def hook(name: str) -> str:
    """Return the signature of a hook, and its docstring."""
    return _code(_outline(inspect.getsource(getattr(hookspecs, name)).replace("@hookspec\n", "")))


def check(name: str) -> str:
    """Return the signature of a check of :mod:`mutatenn.testing`, and its docstring."""
    return _code(_outline(inspect.getsource(getattr(testing, name))))


def _code(text: str) -> str:
    return f"```python\n{text}```"


def _outline(source: str) -> str:
    (top,) = ast.parse(source).body
    functions = [node for node in (top, *getattr(top, "body", ())) if isinstance(node, ast.FunctionDef)]
    dropped = {line for node in functions for line in _lines_to_drop(node)}
    lines = [line for number, line in enumerate(source.splitlines(), 1) if number not in dropped]
    text = "\n".join(re.sub(r" +# (noqa|type:).*", "", line) for line in lines)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def _lines_to_drop(node: ast.FunctionDef) -> range:
    """Return the lines of a function behind its docstring, or all of them where it is private."""
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    begin = first if node.name.startswith("_") else (node.body[0].end_lineno or 0) + 1
    return range(begin, (node.end_lineno or 0) + 1)


def kinds(_: str) -> str:
    """Return the table of the kinds of capability."""
    host = PluginHost.installed()
    rows = [("kind", "contract", "hook", "chosen by", "check"), ("---",) * 5]
    for kind, cls in KINDS.items():
        checked = CHECKS.get(kind, f"check_{kind}")
        test = f"`{checked}`" if checked in testing.__all__ else ""
        link = f"[{kind}](#{kind}s)"
        rows.append((link, f"`{cls.__name__}`", f"`{CATALOGUES[kind]}`", CHOSEN[kind], test))
    counts = ", ".join(f"{_count(host, kind)} {kind}s" for kind in KINDS)
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + f"\n\nInstalled with MutateNN: {counts}."


def _count(host: PluginHost, kind: Kind) -> int:
    own = [record for record in host.records if record.distribution == "mutatenn"]
    return sum(each.kind == kind for record in own for each in record.provides)


def order(_: str) -> str:
    """Return the table of the hooks of a campaign, in the order of their calls."""
    rows = [name for name in HOOKS if name not in CATALOGUES.values()]
    lines = [f"| {number} | [`{name}`](#{name}) | {_doc(name)} |" for number, name in enumerate(rows, 1)]
    return "\n".join(["| | hook | |", "|---|---|---|", *lines])


def _doc(name: str) -> str:
    return _plain(inspect.getdoc(getattr(hookspecs, name)) or "")


def names(_: str) -> str:
    """Return the table of what can be imported from ``mutatenn``."""
    rows = [f"| `{name}` | {_about(name)} |" for name in mutatenn.__all__]
    return "\n".join(["| name | |", "|---|---|", *rows])


def _about(name: str) -> str:
    value = getattr(mutatenn, name)
    if isinstance(value, dict):
        return ", ".join(f"`{key}` {each}" for key, each in value.items())
    if words := list(_words(value)):
        return "one of " + ", ".join(f"`{word!r}`" for word in words)
    return _plain((inspect.getdoc(value) or "").partition("\n\n")[0])


def _words(value: object) -> Iterator[object]:
    """Yield the words that a type of words, such as a Literal, allows."""
    for each in get_args(value):
        if isinstance(each, type) and issubclass(each, Enum):
            yield from (word.value for word in each)
        else:
            yield from list(_words(each)) or [each]


def _plain(text: str) -> str:
    """Return a docstring as Markdown, on one line."""
    text = re.sub(r":\w+:`~?(?:mutatenn\.)?(.+?)`", r"`\1`", text.replace("``", "`"))
    return " ".join(text.split()).replace("|", "\\|")


MAKERS: dict[str, Callable[[str], str]] = {
    "contract": contract,
    "hook": hook,
    "check": check,
    "kinds": kinds,
    "order": order,
    "names": names,
}

if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
