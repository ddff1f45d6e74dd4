"""The page: what is fixed of it stands in the template, what can be filtered is drawn from its data."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import jinja2

from mutatenn import CATEGORIES, STATUS_COLOURS, Status, borders, compare, thumbnails, worth
from mutatenn_reporters._answer import answer
from mutatenn_reporters._changes import readable
from mutatenn_reporters._endings import clause
from mutatenn_reporters._html import details
from mutatenn_reporters._html.between import between
from mutatenn_reporters._html.data import Side, columns, short, statuses
from mutatenn_reporters._html.packed import data_uri, packed, packed_json
from mutatenn_reporters._text import changes, count, cut, environment, ratio, verdict_of_gate
from mutatenn_reporters._view import views

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mutatenn import Border, Delta, ImageWorth, LayerScore, MutationScore, Run
    from mutatenn_reporters._view import View

HERE = Path(__file__).parent
PICTURES = 48
"""Thumbnails in a page, the images that came closest first."""
SHOWN = 200
"""Images in the table."""
DIVERGING = 50
CLOSEST = 20
NAMED = 100
SENTENCE = 1000
"""Characters of what names something in a sentence."""
GLOSSARY: dict[str, str] = {
    Status.KILLED: "an oracle noticed its outputs, on at least one image",
    Status.CRASHED: "it ended the process, or raised an error, where the original does not: noticed",
    Status.TIMED_OUT: "it ran much longer than the original and was stopped: noticed",
    Status.SURVIVED: "it changed values, but no oracle noticed: a fault that these images would miss",
    Status.NEVER_INFECTED: "it ran, but no image made it compute another value: missed as well",
    Status.OUT_OF_BOUNDS: "it left its buffers; the check noticed it, not the images, so it is in no score",
    Status.UNSTABLE: "it ends otherwise when it is run again, so it is in no score",
    Status.EQUIVALENT: "it is the same program, or compiles to the same code: no fault at all, in no score",
    Status.BUILD_ERROR: "the compiler rejected it, in no score",
    Status.INFRASTRUCTURE_ERROR: "the machinery failed, not the mutant; run again, in no score",
    "masked": "infected, but the output is the original's, bit by bit: the change died in a kernel",
    "infected": "a value inside the network was another than the original's",
    "score": "detected (killed, crashed, timed out) of valid (those, survived, never infected)",
    "margin": "the top-1 score less the second; a mutant that takes all of it changes the label",
    "noise floor": "how far two runs of the original are apart; what is within it is no difference",
}


@attrs.frozen
class Bar:
    """A part of a bar: status, how many, where it begins and how wide it is, of a hundred."""

    status: str
    label: str
    number: int
    start: float
    width: float


@attrs.frozen
class Part:
    """An environment, ready to be shown."""

    view: View
    side: Side
    answer: str
    about: str
    gate: str
    red: bool
    delta: Delta | None
    worth: ImageWorth | None
    layers: list[LayerScore]
    borders: tuple[Border, ...]
    few: dict[str, str]
    accepted: int
    duplicates: int
    strays: int
    slow: tuple[tuple[str, float, float], ...]

    @property
    def name(self) -> str:
        """The environment's name."""
        return short(self.view.name)


def render(run: Run, *, pictures: bool, side: int, live: bool = False) -> Iterator[str]:
    """Yield the page of a run, piece by piece: the largest is a few million characters."""
    parts = [_part(run, view) for view in views(run)]
    sides = [part.side for part in parts]
    shown = _pictured(run, parts) if pictures else []
    numbers = {name: index for index, name in enumerate(run.image_names)}
    data = {
        "images": [short(name) for name in run.image_names],
        "pictures": {numbers[name]: data_uri(found) for name, found in thumbnails(run, shown, side).items()},
        "statuses": statuses(),
        "environments": [part.name for part in parts],
        "order": [list(map(short, part.view.facts.get("layers", ()))) for part in parts],
        "summaries": {
            short(name): short(told.replace("``", ""))  # the marks of code in docstrings
            for name, told in run.facts.get("operators", {}).items()
        },
        "directory": shlex.quote(str(run.directory)),
        **_mutants(run, sides),
    }
    style = f"{_palette()}\n{(HERE / 'page.css').read_text()}"
    script = (HERE / "page.js").read_text()
    template = _templates().get_template("page.html")
    blocks = {
        "core": [packed_json(data)],
        **{f"matrix-{index}": [packed(each.groups.tobytes())] for index, each in enumerate(sides)},
        "details": details.chunks(run, sides, numbers),
    }
    yield from template.generate(
        run=run,
        title=short(run.name),
        facts=run.facts,
        parts=parts,
        failed=[cut(each, SENTENCE) for each in run.failed_thresholds],
        warnings=[
            f"{part.name}: {short(operator)}: {told}" for part in parts for operator, told in part.few.items()
        ],
        images=_images(run, parts),
        pictures=data["pictures"],
        closest=[row for part in parts for row in _closest(run, part)],
        between=between(run),
        campaign=_campaign(run),
        provenance=_provenance(run),
        gone=sorted({short(name) for part in parts if part.delta for name in part.delta.gone}),
        against=short(run.against.directory) if run.against else "",
        style=style,
        script=script,
        policy=_policy(style, script, live=live),
        live=live,
        blocks=blocks,
    )


def _part(run: Run, view: View) -> Part:
    side = Side.of(run, view.name)
    baseline = view.baseline
    survivors = list(side.closest.values())
    return Part(
        view,
        side,
        answer(run, view),
        cut(environment(view.facts), SENTENCE),
        cut(_gate(run, view), SENTENCE),
        bool(baseline and baseline.problems) or view.name in run.failures,
        run.since(view.name),
        worth(side.matrix) if side.matrix.mutants else None,
        run.layer_scores(view.name),
        tuple(borders(run, view.name, survivors)[:CLOSEST]),
        run.few_verdicts(view.name),
        run.accepted_survivors(view.name),
        len(run.duplicates(view.name)),
        run.strays(view.name),
        tuple(run.slow(view.name))[:CLOSEST],
    )


def _gate(run: Run, view: View) -> str:
    if view.baseline:
        return verdict_of_gate(view.baseline)
    failed = run.failures.get(view.name)
    return f"original failed: {failed}" if failed else "the original has not run yet"


def _mutants(run: Run, sides: Sequence[Side]) -> dict[str, Any]:
    found = columns(run, sides)
    return {
        "mutants": found.columns,
        "operators": found.operators.list(),
        "layers": found.layers.list(),
        "units": found.units.list(),
        "reasons": found.reasons.list(),
        "sides": [each.columns | {"groups": len(each.groups)} for each in sides],
        "chunk": details.CHUNK,
        "since": run.against is not None,
    }


def _pictured(run: Run, parts: Sequence[Part]) -> list[str]:
    """Return the images whose pictures the page shows."""
    wanted: dict[str, None] = {}
    if len(parts) > 1:
        flipped = (flip.image for each in compare([run], oracles={}).flips() for flip in each.images)
        wanted = dict.fromkeys(itertools.islice(flipped, PICTURES // 2))
    for part in parts:
        wanted |= dict.fromkeys(part.worth.needed if part.worth else ())
        for survivor in part.side.closest.values():
            wanted |= dict.fromkeys(survivor.nearest)
    known = set(run.image_names)
    return [name for name in wanted if name in known][:PICTURES]


def _closest(run: Run, part: Part) -> Iterator[dict[str, Any]]:
    """Yield the closest survivors of an environment, for readers of paper."""
    for survivor in list(part.side.closest.values())[:CLOSEST]:
        verdict = run.verdict(part.view.name, survivor.mutant)
        if verdict:
            took = f"{survivor.lost:.0%}" if survivor.lost else ""
            yield {
                "environment": part.name,
                "mutant": short(survivor.mutant),
                "told": clause(verdict),
                "took": took,
                "image": short(survivor.image or ""),
            }


def _images(run: Run, parts: Sequence[Part]) -> dict[str, list[dict[str, Any]]]:
    """Return the images by environment, most kills first."""
    numbers = {image.name: (index, image.truth) for index, image in enumerate(run.images)}
    found = {}
    for part in parts:
        if part.worth is None:
            continue
        alone: dict[str, int] = {}
        for image in part.worth.sole.values():
            alone[image] = alone.get(image, 0) + 1
        order = {name: place + 1 for place, name in enumerate(part.worth.needed)}
        found[part.name] = [
            {
                "name": short(name),
                "index": numbers[name][0],
                "truth": numbers[name][1],
                "kills": kills,
                "alone": alone.get(name, 0),
                "needed": order.get(name),
                "like": short(part.worth.dominated.get(name, "")),
            }
            for name, kills in list(part.worth.kills.items())[:SHOWN]
        ]
    return found


def _campaign(run: Run) -> str:
    try:
        return readable((run.directory / "campaign.toml").read_text(errors="replace"))
    except OSError:
        return ""


def _provenance(run: Run) -> list[tuple[str, str]]:
    """Return what the run was made from, as names and values."""
    rows: list[tuple[str, str]] = []
    for key, value in run.facts.items():
        if key == "environments":
            for name, facts in value.items():
                kept = {
                    fact: told for fact, told in facts.items() if fact not in {"layers", "kernels", "calls"}
                }
                rows += [(f"{short(name)}: {short(fact)}", _plain(told)) for fact, told in kept.items()]
        elif key != "operators" and isinstance(value, dict):
            rows += [(f"{short(key)}: {short(fact)}", _plain(told)) for fact, told in value.items()]
        elif key != "operators":
            rows.append((short(key), _plain(value)))
    return [(key, value) for key, value in rows if value]


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return short(", ".join(map(str, value)))
    return short(json.dumps(value) if isinstance(value, dict) else value)


def bars(score: MutationScore | None) -> list[Bar]:
    """Return a score's counts as parts of a bar, in the order of the statuses."""
    if score is None or not score.judged:
        return []
    found, start = [], 0.0
    for status, many in score.counts.items():
        if many:
            width = 100 * many / score.judged
            found.append(Bar(str(status), status.replace("-", " "), many, round(start, 3), round(width, 3)))
            start += width
    return found


def _palette() -> str:
    """Return the colours of the statuses as rules."""
    return "\n".join(
        f".s-{status}{{background:{back};color:{front};fill:{back}}}"
        for status, (back, front) in STATUS_COLOURS.items()
    )


def _policy(style: str, script: str, *, live: bool) -> str:
    """Return what a browser may do with the page: run this script, and ask nobody for anything."""
    connect = "; connect-src 'self'" if live else ""
    return (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; img-src data:; "
        f"base-uri 'none'; form-action 'none'{connect}"
    )


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _templates() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(HERE)
    found = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    found.filters |= {
        "short": short,
        "ratio": ratio,
        "count": count,
        "bars": bars,
        "changes": changes,
    }
    found.globals |= {"CATEGORIES": CATEGORIES, "GLOSSARY": GLOSSARY, "NAMED": NAMED}
    return found
