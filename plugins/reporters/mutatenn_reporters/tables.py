"""The tables reporter: environments against each other, factor by factor, for papers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs

from mutatenn import InputError, Reporter, compare, hookimpl
from mutatenn_reporters._markdown import plain
from mutatenn_reporters._tables import as_csv, as_latex, as_markdown
from mutatenn_reporters._text import clean, count
from mutatenn_reporters._writing import write, wrote

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from mutatenn import Run, Table

FILE, FOLDER = "tables.md", "tables"
PAIR = 2


@attrs.define(kw_only=True, eq=False)
class Tables(Reporter):
    """Writes tables.md, and each of its tables as CSV, LaTeX and a picture into the folder tables.

    They are those of DeltaNN (Louloudakis et al., 2023), over all factors in which environments differ:
    times, how much faster one level of a factor is than another, boxes of images, analyses of variance,
    images with another label. ``layers`` names two environments that are run again, and compared layer by
    layer on so many ``images``. ``format`` is that of pictures, ``svg`` or ``png``; without matplotlib there
    are none.
    """

    name: ClassVar[str] = "tables"
    format: Literal["svg", "png"] = attrs.field(default="svg", validator=attrs.validators.in_(("svg", "png")))
    layers: list[str] = attrs.field(factory=list)
    images: int = attrs.field(default=8, validator=attrs.validators.ge(1))

    def report(self, run: Run, directory: Path) -> str:
        """Write the tables into the directory, creating it; return where they are.

        Raises InputError for a run in a single environment, and if a file cannot be written.
        """
        return self.report_together([run], directory)

    def report_together(self, runs: Sequence[Run], directory: Path) -> str:
        """Write the tables of the environments of several runs; otherwise as :meth:`report`."""
        tables, lacking = compare(runs, {}).tables()
        tables += self._layers(runs)
        told = [*_pictures(tables, directory / FOLDER, self.format), *lacking]
        for table in tables:
            write(directory / FOLDER / f"{table.name}.csv", as_csv(table))
            write(directory / FOLDER / f"{table.name}.tex", as_latex(table))
        blocks = [f"# {plain(', '.join(dict.fromkeys(run.name for run in runs)))}: environments"]
        blocks += map(as_markdown, tables)
        if told:
            blocks += ["### What is not here", "\n".join(f"- {plain(each)}" for each in told)]
        page = write(directory / FILE, "\n\n".join(blocks) + "\n")
        return "\n".join(
            [page, f"{wrote(directory / FOLDER)}: {count(len(tables), 'table')}", *map(clean, told)]
        )

    def _layers(self, runs: Sequence[Run]) -> list[Table]:
        if not self.layers:
            return []
        if len(self.layers) != PAIR or len(runs) > PAIR:
            raise InputError("layers names two environments, of one run or of one each of two")
        from mutatenn import compare_layers  # it loads images

        return compare_layers(runs, *self.layers, images=self.images).tables()


def _pictures(tables: Sequence[Table], folder: Path, suffix: str) -> Iterator[str]:
    """Draw the tables that are drawn; yield why there are no pictures, if so."""
    for table in tables:
        if table.drawn:
            try:
                picture = table.plot()
            except InputError as error:
                yield f"no pictures: {error}"
                return
            try:
                folder.mkdir(parents=True, exist_ok=True)
                picture.save(folder / f"{table.name}.{suffix}")
            except OSError as error:
                raise InputError(
                    f"cannot write into {folder}: {error.strerror}; choose another folder"
                ) from None


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``tables``."""
    return [Tables]
