"""Every error the framework raises on purpose; each message names its remedy."""

from __future__ import annotations


class MutatennError(Exception):
    """Base class; the command line prints it as one line and exits with :attr:`exit_code`.

    Several ``problems`` at once are a line each, below the message that counts them.
    """

    exit_code = 4

    def __init__(self, message: object = "", *problems: str) -> None:
        super().__init__("\n".join([str(message), *problems]))
        self.message = str(message)
        self.problems = problems


class InputError(MutatennError):
    """The user's input (file, option, model, image, run directory) cannot be used."""

    exit_code = 2


class PluginError(MutatennError):
    """A plugin broke its contract."""

    exit_code = 2


class BaselineError(MutatennError):
    """The original itself failed the baseline gate, so no mutant was judged."""

    exit_code = 3


class BuildError(MutatennError):
    """The compiler rejected a program."""


class InfrastructureError(MutatennError):
    """The machinery failed; says nothing about any mutant."""


class DeviceLostError(InfrastructureError):
    """A device is gone: the board fell silent, its server ended, its driver gave up."""
