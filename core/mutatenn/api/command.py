"""The contract of a command: what ``mutatenn NAME`` does."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeAlias

from mutatenn.api.capability import Capability

if TYPE_CHECKING:
    import argparse

Host: TypeAlias = Any
"""A :class:`mutatenn.PluginHost`, which itself stands on the contracts."""


class Command(Capability):
    """A sub-command of ``mutatenn``; the first line of its docstring is shown by ``mutatenn --help``.

    Its module is imported for every help and listing, so what takes long to import is imported in
    :meth:`execute`. ``--block-plugin`` is every command's and needs no declaration.
    """

    @abstractmethod
    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments and options; called only where this command is called, or its help."""

    @abstractmethod
    def execute(self, args: argparse.Namespace, host: Host) -> int:
        """Do it, with all installed plugins at hand in ``host``, and return the exit code, 0 to 255.

        Results go to standard output, remarks to standard error. By convention 0 is done, 1 a threshold that
        failed, 2 wrong input, 3 a red baseline, 4 machinery that failed. The errors of ``mutatenn`` end the
        command with one line and their own code: raise :class:`mutatenn.InputError` for what the user can
        mend. Whatever else a plugin's command raises ends it as a :class:`mutatenn.PluginError` that names
        it, with 2; an interrupt ends it with 130, a closed pipe with 141.
        """
