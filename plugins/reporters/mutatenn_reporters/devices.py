"""The devices reporter: where environments disagree, in two files for programs and a picture for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import attrs

from mutatenn import InputError, Reporter, compare, hookimpl, save_comparison, whole
from mutatenn_reporters._matrix import matrix
from mutatenn_reporters._text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from mutatenn import Run


PICTURE = "device_matrix.svg"


@attrs.define(kw_only=True, eq=False)
class Devices(Reporter):
    """Compares the environments: device_evaluation.json, device_discrepancies.json, device_matrix.svg.

    The JSON files conform to ``devices.schema.json`` beside this module; the second holds the mutants that
    differ. The same run gives the same files, byte for byte.
    """

    name: ClassVar[str] = "devices"

    def report(self, run: Run, directory: Path) -> str:
        """Write the files into the directory, creating it; return where they are.

        Raises InputError for a run in a single environment, and if a file cannot be written.
        """
        return self.report_together([run], directory)

    def report_together(self, runs: Sequence[Run], directory: Path) -> str:
        """Write the files of the environments of several runs; otherwise as :meth:`report`."""
        comparison = compare(runs)
        try:
            written = save_comparison(comparison, directory)
            if len(comparison.mutated) > 1:
                with whole(directory / PICTURE) as file:
                    file.write(matrix(comparison, runs[0].name).encode())
                written.append(directory / PICTURE)
        except OSError as error:
            raise InputError(
                f"cannot write into {directory}: {error.strerror}; choose another folder"
            ) from None
        return "\n".join(f"wrote {clean(path)}" for path in written)


@hookimpl
def mutatenn_reporters() -> list[type[Reporter]]:
    """Contribute ``devices``."""
    return [Devices]
