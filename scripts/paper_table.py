"""Runs the operators of the MutateNN paper on a model and writes what became of them as a table.

    python scripts/paper_table.py CAMPAIGN.toml --write docs/paper-on-mobilenet-v2.md

Model, preprocessing and images are those of the campaign file. Every operator is applied to all its sites
together, as the paper did, and at ten sampled sites one by one. The text around the table stays as it is.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

import mutatenn
from mutatenn.campaign.config.load import load_campaign
from mutatenn.host.plugin_host import PluginHost

if TYPE_CHECKING:
    from mutatenn.api.mutator import Mutator
    from mutatenn.results.judge import Verdict
    from mutatenn.results.run import Run

SAMPLE = 10
BEGIN, END = "<!-- table -->", "<!-- end of table -->"
HEADING = (
    "| | operator | sites | all together: verdict | labels changed | images infected "
    "| one by one: noticed | labels changed (median, most) | images infected (median) |\n"
    "|---|---|---|---|---|---|---|---|---|\n"
)


def _given(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _given(each) for key, each in value.items() if each is not None}
    return value


def _campaign(base: Path, folder: Path, name: str, mutations: list[dict[str, Any]]) -> Path:
    parts = load_campaign(base, {}).to_dict()
    content = {key: _given(parts[key]) for key in ("model", "preprocess", "dataset", "gate")}
    path = folder / f"{name}.toml"
    path.write_text(tomli_w.dumps({"name": name, "mutations": mutations, **content}))
    return path


def _run(base: Path, folder: Path, operators: list[str]) -> tuple[Run, Run]:
    sample = {"sample": SAMPLE, "seed": 1}
    together = [{"operator": operator, "sites": "together"} for operator in operators]
    single = [{"operator": operator, "sites": sample} for operator in operators]
    runs = []
    for name, mutations in (("together", together), ("single", single)):
        runs.append(mutatenn.run(_campaign(base, folder, name, mutations), folder / name))
    return runs[0], runs[1]


def _verdicts(run: Run) -> dict[str, list[Verdict]]:
    found: dict[str, list[Verdict]] = {}
    for record in run.records():
        found.setdefault(record.operator, []).extend(record.verdicts.values())
    return found


def _table(together: Run, single: Run, operators: dict[str, type[Mutator]]) -> str:
    sites = {entry.operator: entry.sites for entry in together.operators("cpu")}
    images, all_at_once, one_by_one = len(together.image_names), _verdicts(together), _verdicts(single)
    rows = []
    for name, cls in sorted(operators.items(), key=lambda item: (item[1].category, item[0])):
        once, many = all_at_once.get(name, []), one_by_one.get(name, [])
        cells = [cls.category, f"`{name}`", str(sites[name])]
        cells += _together(once[0], images) if once else ["no site", "", ""]
        cells += _single(many, images) if many else ["", "", ""]
        rows.append(f"| {' | '.join(cells)} |\n")
    return HEADING + "".join(rows)


def _together(verdict: Verdict, images: int) -> list[str]:
    about = "not finite" if verdict.non_finite else "degenerate" if verdict.degenerate else ""
    status = f"{verdict.status} ({about})" if about else verdict.status
    return [status, f"{verdict.labels_changed} of {images}", f"{verdict.infected} of {images}"]


def _single(verdicts: list[Verdict], images: int) -> list[str]:
    noticed = sum(verdict.status in ("killed", "crashed", "timed-out") for verdict in verdicts)
    labels = [verdict.labels_changed for verdict in verdicts]
    infected = [verdict.infected for verdict in verdicts]
    return [
        f"{noticed} of {len(verdicts)}",
        f"{statistics.median(labels):g}, {max(labels)} of {images}",
        f"{statistics.median(infected):g} of {images}",
    ]


def main() -> None:
    """Print the table, or put it into a page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("campaign", type=Path)
    parser.add_argument("--write", type=Path, help="the page, with the table between its two marks")
    args = parser.parse_args()
    operators = {
        name: cls for name, cls in PluginHost.installed().mutators().items() if "paper" in cls.groups
    }
    with tempfile.TemporaryDirectory() as folder:
        table = _table(*_run(args.campaign, Path(folder), sorted(operators)), operators)
    if args.write is None:
        print(table)
        return
    before, _, rest = args.write.read_text().partition(BEGIN)
    args.write.write_text(f"{before}{BEGIN}\n\n{table}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main()
