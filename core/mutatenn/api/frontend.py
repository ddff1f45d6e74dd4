"""The contract of a frontend: from a model file to the graph IR."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import attrs

from mutatenn.api.capability import Capability

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mutatenn.api.values import Model


@attrs.frozen(kw_only=True)
class Frontend(Capability):
    """Imports models of one kind and can run them in their own framework."""

    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def load(self, source: Path) -> Model:
        """Import the model.

        Raises :class:`mutatenn.InputError` for a file that is missing, damaged, not an image
        classifier, or uses something the importer does not support.
        """

    @abstractmethod
    def reference(self, model: Model, images: NDArray[np.generic]) -> NDArray[np.float32]:
        """Run the model in its own framework, the yardstick of the baseline gate.

        ``images`` is ``[images, *model.input.shape[1:]]`` in the model's dtype; returns float32
        ``[images, classes]``. Called in a process of its own.
        """
