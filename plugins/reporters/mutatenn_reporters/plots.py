"""The plots reporter: pictures of a run, for papers, slides and pages."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import attrs

from mutatenn import InputError, Reporter, hookimpl
from mutatenn_reporters._writing import wrote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mutatenn import Run

KINDS = ("scores", "layers", "images", "times")


@attrs.define(kw_only=True, eq=False)
class Plots(Reporter):
    """Writes scores, layers, images and times of each environment, and environments, as pictures.

    They are scores by operator, shares of faults detected by operator and layer, kills by image, seconds by
    operator, and, where there are several environments, how the mutants ended in each. ``format`` is ``svg``
    or ``png``. Needs matplotlib.
    """

    name: ClassVar[str] = "plots"
    format: Literal["svg", "png"] = attrs.field(default="svg", validator=attrs.validators.in_(("svg", "png")))

    def report(self, run: Run, directory: Path) -> str:
        """Write the pictures into the directory, creating it; return where they are.

        Raises InputError if one cannot be written, and where matplotlib is not installed.
        """
        return "\n".join(self._written(run, directory))

    def _written(self, run: Run, directory: Path) -> Iterator[str]:
        several = len(run.environments) > 1
        for environment in run.environments:
            if run.mutants_of(environment):
                for kind in KINDS:
                    name = f"{kind}-{environment}" if several else kind
                    yield self._save(
                        getattr(run.plot, kind)(environment), directory / f"{name}.{self.format}"
                    )
        if several:
            yield self._save(run.plot.environments(), directory / f"environments.{self.format}")

    def _save(self, picture: object, path: Path) -> str:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)  # type: ignore[attr-defined]  # a Picture
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}; choose another folder") from None
        return wrote(path)


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``plots``."""
    return [Plots]
