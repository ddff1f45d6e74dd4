"""``mutatenn images``: what each image contributes to noticing the mutants."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.api.command import Command
from mutatenn.cli._text import columns, some
from mutatenn.errors import InputError
from mutatenn.host.hookspecs import hookimpl
from mutatenn.nearest import unknown_name
from mutatenn.printable import counted, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mutatenn.analysis.images.worth import ImageWorth, Survivor
    from mutatenn.host.plugin_host import PluginHost
    from mutatenn.results.run import Run

EPILOG = """
With --json, an object by environment, null before a mutant was judged there: "mutants" (valid ones judged),
"killed" (by some image), "cover" (a smallest set of images that kills these: "images", each with how many
mutants it and those before it kill; "minimal", whether no set can be smaller; "lower_bound", how many images
any such set has at least; "method", greedy or milp; "greedy", the size the greedy search found), "kills"
(mutants per image, most first), "idle" (images that kill none), "dominated" (images that kill only what the
other one does), "sole" (mutants that one image alone kills), "apart" (mutants detected otherwise, and how
they ended; killed: by the outputs as a whole), "survivors" (closest to being noticed first: mutant, lost: the
largest share of its top-1 margin that an image lost, image, labels_changed, propagated), "missing" (where
images are missing: label, other: the two outputs, survivors, images that came nearest), "brightness"
(nearest: of the images that came nearest, beside half of all, from low to high; null where they are alike);
with --try also "tried" (images, survivors, killed, cover: which of the images kill these, each with how many
it and those before it kill).
"""
NEEDED = 10
SHOWN = 5


class ImagesCommand(Command):
    """Say which images are needed, which add nothing, and what they nearly killed."""

    name = "images"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("run", metavar="RUN", help="the run directory")
        parser.add_argument(
            "--try",
            dest="more",
            metavar="IMAGES",
            help="run the survivors on these, a folder or a pattern such as 'more/*.jpg', and say which are "
            "worth adding",
        )
        parser.add_argument("--environment", metavar="NAME", help="only this environment")
        parser.add_argument("--json", action="store_true", help="print an object, every image in it")
        parser.epilog = EPILOG

    def execute(self, args: argparse.Namespace, host: PluginHost) -> int:
        """Print what the images of each environment are worth."""
        import mutatenn

        run = mutatenn.open_run(args.run)
        if args.environment is not None and args.environment not in run.environments:
            raise InputError(unknown_name("environment", args.environment, run.environments))
        names = [name for name in run.environments if args.environment in (None, name)]
        mutated = [name for name in names if run.mutants_of(name)] if args.more is not None else []
        tried = {name: _tried(run, name, args, host) for name in mutated}
        if args.json:
            found = {name: _plain(run, name) for name in names}
            for name, each in tried.items():
                if (about := found[name]) is not None:
                    about["tried"] = attrs.asdict(each)
            print(json.dumps(found, indent=2))
        elif tried:
            print("\n\n".join(map(_gain, tried.values())))
        else:
            print("\n\n".join("\n\n".join(_sections(run, name)) for name in names))
        return 0


@attrs.frozen
class Tried:
    """What further images do to the survivors of an environment: how many of both, which kill how many."""

    environment: str
    images: int
    survivors: int
    killed: int
    cover: dict[str, int]


def _tried(run: Run, environment: str, args: argparse.Namespace, host: PluginHost) -> Tried:
    from mutatenn.campaign.config.resources import resolve_pattern
    from mutatenn.campaign.execution.trying import tried
    from mutatenn.campaign.inputs.suggest import patterns

    images = [resolve_pattern(each, Path.cwd()) for each in patterns(args.more)]
    follow = () if args.json else (host.get("reporter", "terminal")(),)
    with tried(run, environment, images, host, follow) as (trial, survivors):
        found = _found(trial, environment)
        killed = trial.score(environment).detected
        cover = found.needed if found else {}
        return Tried(environment, len(trial.image_names), len(survivors), killed, cover)


def _gain(found: Tried) -> str:
    tried = f"{counted(found.images, 'further image')} would notice {found.killed} of"
    title = f"environment {found.environment}: {tried} {counted(found.survivors, 'survivor')}"
    if not found.cover:
        return printable(title)
    rows = [(name, kills, f"{kills / found.survivors:.0%}") for name, kills in found.cover.items()]
    head = ("add", "noticed so far", "of survivors")
    return _listed(printable(title), head, rows, right=[1, 2], most=NEEDED)


def _found(run: Run, environment: str) -> ImageWorth | None:
    """Return what the images are worth, None before a mutant was judged."""
    from mutatenn.analysis.images.kill_matrix import kill_matrix
    from mutatenn.analysis.images.worth import worth

    matrix = kill_matrix(run, environment)
    return worth(matrix) if matrix.mutants else None


def _plain(run: Run, environment: str) -> dict[str, Any] | None:
    found = _found(run, environment)
    if found is None:
        return None
    from mutatenn.analysis.images.missing import borders, brightness
    from mutatenn.analysis.images.worth import closest_survivors

    cover = found.cover
    survivors = closest_survivors(run, environment)
    apart = brightness(run, survivors)
    return {
        "mutants": found.mutants,
        "killed": found.killed,
        "cover": {
            "images": found.needed,
            "minimal": cover.minimal,
            "lower_bound": cover.lower_bound,
            "method": cover.method,
            "greedy": cover.greedy,
        },
        **{key: getattr(found, key) for key in ("kills", "idle", "dominated", "sole", "apart")},
        "survivors": [attrs.asdict(each) for each in survivors],
        "missing": [attrs.asdict(each) for each in borders(run, environment, survivors)],
        "brightness": attrs.asdict(apart) if apart else None,
    }


def _sections(run: Run, environment: str) -> Iterator[str]:
    found = _found(run, environment)
    if found is None:
        yield printable(f"environment {environment}: no mutant was judged yet; `mutatenn run` continues it")
        return
    from mutatenn.analysis.images.worth import closest_survivors

    yield _head(found)
    if found.needed:
        yield _cover(found)
        yield _table("images by kills", ("image", "kills"), found.kills)
    if found.sole:
        yield _table(
            f"only one image kills: {counted(len(found.sole), 'mutant')}", ("mutant", "image"), found.sole
        )
    yield from filter(None, (_idle(found), _dominated(found), _apart(found)))
    if survivors := closest_survivors(run, environment):
        yield _survivors(survivors)
        yield from filter(None, [_missing(run, environment, survivors)])


def _head(found: ImageWorth) -> str:
    by = f"{_kill(found.kills)} {found.killed} of {counted(found.mutants, 'valid mutant')}"
    return printable(f"environment {found.environment}: {by}")


def _cover(found: ImageWorth) -> str:
    cover = found.cover
    proof = "no smaller set exists" if cover.minimal else f"fewer than {cover.lower_bound} cannot"
    how = {"greedy": "greedy search", "milp": "integer program"}[cover.method]
    title = f"{_kill(found.needed)} all {found.killed} ({proof}; found by {how})"
    rows = [(name, kills, f"{kills / found.killed:.0%}") for name, kills in found.needed.items()]
    return _listed(title, ("image", "killed so far", ""), rows, right=[1, 2], most=NEEDED)


def _table(title: str, head: tuple[str, str], pairs: Mapping[str, object]) -> str:
    return _listed(title, head, list(pairs.items()), right=[1] if head[1] == "kills" else [])


def _idle(found: ImageWorth) -> str:
    return (
        f"kill nothing: {counted(len(found.idle), 'image')}\n  {some(found.idle, SHOWN)}"
        if found.idle
        else ""
    )


def _dominated(found: ImageWorth) -> str:
    title = f"kill only what another image kills: {counted(len(found.dominated), 'image')}"
    return _table(title, ("image", "the other"), found.dominated) if found.dominated else ""


def _apart(found: ImageWorth) -> str:
    """Return the mutants that were detected, but not by an image."""
    titles = {
        "killed": "killed by the outputs as a whole",
        "crashed": "crashed",
        "timed-out": "timed out",
    }
    lines = ["detected, but not by single images"] if found.apart else []
    for status, title in titles.items():
        if names := [name for name, ended in found.apart.items() if ended == status]:
            lines += [f"  {title}: {counted(len(names), 'mutant')}", f"    {some(names, SHOWN)}"]
    return "\n".join(lines)


def _survivors(survivors: Sequence[Survivor]) -> str:
    rows = [(each.mutant, f"{each.lost:.1%}", each.image or "-") for each in survivors[:SHOWN]]
    title = "survivors closest to being noticed, and what an image lost of its margin"
    return _listed(title, ("mutant", "lost", "image"), rows, right=[1])


def _missing(run: Run, environment: str, survivors: Sequence[Survivor]) -> str:
    """Return which images to add."""
    from mutatenn.analysis.images.missing import borders, brightness

    found = borders(run, environment, survivors)
    if not found:
        return ""
    rows = [(each.label, each.other, each.survivors, some(each.images, 2)) for each in found]
    title = "images to add: of this output, almost the other: survivors were near there"
    text = _listed(title, ("output", "almost", "survivors", "such as"), rows, right=[0, 1, 2])
    apart = brightness(run, survivors)
    if apart:
        how = "darker" if apart.nearest < apart.low else "brighter"
        text += (
            f"\n  and {how} ones: these have a mean grey of {apart.nearest:.0f} of 255, half of all have "
            f"{apart.low:.0f} to {apart.high:.0f}"
        )
    command = f"mutatenn images {shlex.quote(str(run.directory))} --try 'more/*.jpg'"
    return f"{text}\n  `{printable(command)}` tells what others would notice"


def _listed(
    title: str,
    head: Sequence[str],
    rows: Sequence[Sequence[object]],
    right: Iterable[int],
    most: int = SHOWN,
) -> str:
    """Return a title and the first rows of a table."""
    table = columns([head, *rows[:most]], right=right).splitlines()
    more = [f"and {len(rows) - most} more"] if len(rows) > most else []
    return "\n".join([title, *(f"  {line}" for line in [*table, *more])])


def _kill(images: Collection[str]) -> str:
    return f"{counted(len(images), 'image')} kill{'s' * (len(images) == 1)}"


@hookimpl
def mutatenn_commands() -> list[type[Command]]:
    """Contribute the command."""
    return [ImagesCommand]
