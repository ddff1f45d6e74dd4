"""Counts the sites that the operators of the MutateNN paper find in several models, for docs/paper-sites.md.

    python scripts/paper_sites.py --model "MobileNetV2=mobilenet_v2_1.0_224.onnx"

Writes the table of that page: the bundled model, and ResNet50 as the onnx package ships it, are counted anew;
the column of MobileNetV2 stays unless its file is given. With --check nothing is written: exits with 1 if the
page says something else than what is counted. The text around the table stays as it is.
"""

from __future__ import annotations

import argparse
import sys
from importlib.resources import files
from pathlib import Path

import attrs
import onnx

from mutatenn.campaign.config.values import Mutation
from mutatenn.campaign.planning.plan import plan
from mutatenn.compiler.profiles import Profile
from mutatenn.compiler.toolchain import Toolchain
from mutatenn.host.plugin_host import PluginHost
from mutatenn_backends.llvm import Llvm

PAGE = Path(__file__).parents[1] / "docs" / "paper-sites.md"
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
BUNDLED, RESNET, MOBILENET = "digits", "ResNet50", "MobileNetV2"
COLUMNS = (BUNDLED, MOBILENET, RESNET)
FILES = {
    BUNDLED: Path(str(files("mutatenn") / "data" / "digits.onnx")),
    RESNET: Path(onnx.__file__).parent / "backend" / "test" / "data" / "light" / "light_resnet50.onnx",
}
Column = dict[str, str]
"""By operator: the number of sites, or why there is none."""


def counted(path: Path) -> Column:
    """Return what the operators find in a model, on this machine's CPU."""
    host = PluginHost.installed()
    frontend = next(cls for cls in host.frontends().values() if path.suffix in cls.suffixes)
    toolchain = Toolchain(frontend().load(path), Llvm(), Profile())
    found = plan(toolchain, [Mutation("paper")], host.mutators(), 0)
    return {
        entry.operator: str(entry.sites) if entry.sites else f"0: {found.absences[entry.operator]}"
        for entry in found.operators
    }


def read(page: str) -> dict[str, Column]:
    """Return the columns of the page's table."""
    lines = [line for line in _between(page).splitlines() if line.startswith("|")]
    head, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {
        model: {row[1].strip("`"): row[number] for row in rows[1:]}
        for number, model in enumerate(head)
        if model in COLUMNS
    }


def table(columns: dict[str, Column]) -> str:
    """Return the table, operators by category."""
    operators = PluginHost.installed().mutators()
    names = sorted(columns[BUNDLED], key=lambda name: (operators[name].category, name))
    head = f"| | operator | {' | '.join(COLUMNS)} |\n|---|---|{'---|' * len(COLUMNS)}\n"
    return head + "".join(
        f"| {operators[name].category} | `{name}` | {' | '.join(columns[each][name] for each in COLUMNS)} |\n"
        for name in names
    )


def _between(page: str) -> str:
    return page.partition(BEGIN)[2].partition(END)[0]


def differences(given: dict[str, Path], page: str) -> list[str]:
    """Return in which operators and models the page differs from what is counted."""
    said = read(page)
    return [
        f"{model}, {operator}: {said[model].get(operator)!r} on the page, counted {found!r}"
        for model, path in given.items()
        for operator, found in counted(path).items()
        if said[model].get(operator) != found
    ]


@attrs.frozen
class Model:
    """A column and the file to count it in."""

    name: str
    path: Path

    @classmethod
    def parse(cls, text: str) -> Model:
        """Return what NAME=FILE says; raises ValueError for anything else."""
        name, _, path = text.partition("=")
        if name not in COLUMNS or not Path(path).is_file():
            raise ValueError(text)
        return cls(name, Path(path))


def main() -> int:
    """Write the table, or compare it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Model.parse, action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    given = FILES | {each.name: each.path for each in args.model}
    page = PAGE.read_text(encoding="utf-8")
    if args.check:
        found = differences(given, page)
        print("\n".join(found) or "the page says what was counted")
        return bool(found)
    text = table(read(page) | {name: counted(path) for name, path in given.items()})
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
