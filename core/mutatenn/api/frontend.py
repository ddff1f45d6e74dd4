"""The contract of a frontend: from a model file to the graph IR."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import attrs

from mutatenn.api.capability import Capability

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from mutatenn.api.values import Model


@attrs.frozen(eq=False)
class Inner:
    """What a model computes on the way to its scores, for one image, operator by operator in order.

    ``operators`` names each in the framework's words, ``Conv 'stem' (output 'c1')``; ``values`` are the
    framework's results; ``module`` is the graph IR whose ``main`` takes the image, of batch 1, and returns a
    tuple of the same. ``layers`` are the names of the user's layers that they are the results of, as the
    import notes them, empty for none; or there are none.
    """

    module: Any
    operators: tuple[str, ...]
    values: tuple[NDArray[Any], ...]
    layers: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Frontend(Capability):
    """Imports models of one kind and can run them in their own framework.

    The fields of a subclass are the options a campaign file may set in ``[model] options``. A frontend that
    can import a model in several ways has the field ``route``, with the best way as its default. Fields with
    the metadata ``{"path": True}`` are paths that start at the campaign file; one with ``{"crop": True}`` is
    by default the campaign's crop, (height, width) in pixels.
    """

    suffixes: ClassVar[tuple[str, ...]]
    routes: ClassVar[tuple[str, ...]] = ()
    """The values of the field ``route``; the digest of a model depends on it."""
    schemes: ClassVar[tuple[str, ...]] = ()
    """What may stand before the colon of a ``[model] source`` that :meth:`obtain` understands."""

    @classmethod
    def reads(cls, source: Path) -> bool:
        """Tell whether an existing path looks like a model of this kind; by default, by its suffix."""
        return source.suffix.lower() in cls.suffixes

    def obtain(self, scheme: str, name: str, folder: Path) -> Path:
        """Make or download a model that a campaign names as ``scheme:name``; return its path in ``folder``.

        ``folder`` exists and is this model's own; what an earlier call left there is used again where that is
        right. A file ``preprocess.json`` there tells `init` how images are prepared. Raises
        :class:`mutatenn.InputError`.
        """
        raise NotImplementedError(f"frontend {self.name} has no scheme {scheme} ({name}, {folder})")

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

    def inner(self, model: Model, image: NDArray[np.generic]) -> Inner | None:
        """Run the model in its own framework on one image and keep what its operators compute.

        Asked to explain a red gate, and to compare layers, in a process of its own; by default None, which
        cannot tell.
        ``image`` is ``[*model.input.shape[1:]]``.
        """
        del model, image
        return None
