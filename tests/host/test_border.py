"""Whatever a plugin's code does where it is called is told in one line that names the plugin."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mutatenn import Comparator, InputError, MutatennError, PluginError
from mutatenn.border import broken, calling, is_built_in, named, shown
from mutatenn_comparators.top_1 import Top1


class Nameless(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class HarmlessError(MutatennError):
    exit_code = 0


class Made(Comparator):
    """Made for a test."""

    name = "made"
    worse = "higher"

    def measure(self, original: Any, candidate: Any) -> Any:
        del original, candidate


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("boom"), "RuntimeError: boom"),
        (SystemExit(0), "SystemExit: 0"),
        (GeneratorExit(), "GeneratorExit"),
        (Nameless(), "Nameless: (it cannot be shown)"),
        (HarmlessError("all is well"), "HarmlessError: all is well"),
        (ValueError("\x1b[2J\nnext"), "ValueError: ?[2J next"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
    ],
)
def test_what_it_raises_names_it(error: BaseException, text: str) -> None:
    with pytest.raises(PluginError) as caught, calling(Made(), "measure"):
        raise error
    message = str(caught.value)
    assert message.startswith(f"comparator 'made' of module {__name__}: measure raised {text}")
    assert f"({Path(__file__).name}, line " in message
    assert message.isprintable()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), InputError("its input"), PluginError("known")])
def test_what_its_contract_allows_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, calling(Made(), "measure"):
        raise error
    assert caught.value is error


def test_an_error_of_the_machine_is_not_blamed_on_a_built_in() -> None:
    with pytest.raises(OSError, match="No space"), calling(Top1(), "measure"):
        raise OSError(28, "No space left on device")


def test_the_working_directory_stays(tmp_path: Path) -> None:
    before = os.getcwd()
    with calling(Made(), "measure"):
        os.chdir(tmp_path)
    assert os.getcwd() == before


def test_built_ins_are_of_this_distribution() -> None:
    assert is_built_in(Top1)
    assert not is_built_in(Made)
    assert named(Top1) == f"comparator 'top-1' of mutatenn {__import__('mutatenn').__version__}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"),
        (np.zeros((2, 3), np.float16), "an array of float16[2, 3]"),
        ("\x1b[31m", r"'\x1b[31m'"),
        ("x" * 10_000, "xxx ... xxx"),
        (Nameless(), "a value of type Nameless"),
    ],
)
def test_values_are_shown_on_a_short_line(value: object, text: str) -> None:
    assert all(part in shown(value) for part in text.split("..."))
    assert len(str(broken(Made(), "measure", "numbers", value))) < 700
