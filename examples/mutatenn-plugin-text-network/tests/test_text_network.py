"""The frontend keeps its promises, computes what numpy does, and refuses what it cannot read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mutatenn_plugin_text_network
import numpy as np
import pytest
from mutatenn_plugin_text_network import TextNetwork

from mutatenn import InputError
from mutatenn.testing import check_frontend, check_plugin_module

if TYPE_CHECKING:
    from pathlib import Path

GOOD = "input 1 4 4\nconv a\nrelu\npool 2\ndense b\nsoftmax\n"


def write(folder: Path, text: str = GOOD) -> Path:
    """Write a small network."""
    random = np.random.default_rng(1)
    shapes = {
        "a.weight": (3, 1, 3, 3),
        "a.bias": (3,),
        "b.weight": (2, 12),
        "b.bias": (2,),
    }
    weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    weights |= {"even.weight": np.zeros((3, 1, 2, 2), np.float32), "even.bias": np.zeros(3, np.float32)}
    np.savez(folder / "net.npz", **weights)
    path = folder / "net.textnet"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_plugin_keeps_its_promises(tmp_path: Path) -> None:
    """Raises an AssertionError that names the promise that does not hold."""
    check_plugin_module(mutatenn_plugin_text_network)
    images = np.random.default_rng(2).normal(size=(3, 1, 4, 4))
    check_frontend(TextNetwork, write(tmp_path), images)


def test_what_it_loads(tmp_path: Path) -> None:
    """Specs and digest are those of the files."""
    path = write(tmp_path)
    model = TextNetwork().load(path)
    assert (model.name, model.input.shape, model.output.shape) == ("net", (1, 1, 4, 4), (1, 2))
    scores = TextNetwork().reference(model, np.ones((3, 1, 4, 4), np.float32))
    assert scores.shape == (3, 2)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)
    assert TextNetwork().load(write(tmp_path, GOOD + "# a comment")).digest != model.digest
    with pytest.raises(InputError, match="has changed since it was imported"):
        TextNetwork().reference(model, np.ones((1, 1, 4, 4), np.float32))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "begin with 'input CHANNELS HEIGHT WIDTH'"),
        ("input 1 4\n", "line 1: 'input 1 4' is no input; begin with 'input CHANNELS HEIGHT WIDTH'"),
        ("input 1 4 4\nconf a", "line 2: unknown layer 'conf'; known are conv, relu, pool, dense, softmax"),
        ("input 1 4 4\n\nconv", "line 3: conv takes 1 word(s), not 0"),
        ("input 1 4 4\npool two", "line 2: pool takes a size in pixels, not 'two'"),
        ("input 1 4 4\nconv c", "line 2: no weights; put c.weight and c.bias into the .npz file"),
        ("input 2 4 4\nconv a", "line 2: does not fit what comes before it ("),
        ("input 1 4 4\nconv even", "(the kernel's height and width must be odd)"),
        ("input 1 5 4\nconv a\ndense b", "line 3: does not fit what comes before it ("),
        ("input 1 4 4\nconv a\n", "does not end with scores; end with dense or softmax"),
    ],
)
def test_what_it_refuses(tmp_path: Path, text: str, message: str) -> None:
    """Each mistake is one line that says where."""
    with pytest.raises(InputError) as caught:
        TextNetwork().load(write(tmp_path, text))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_that_would_run_code(tmp_path: Path) -> None:
    """A pickle in the archive is not opened."""
    path = write(tmp_path)
    np.savez(tmp_path / "net.npz", **{"a.weight": np.array([object])})
    with pytest.raises(InputError, match="is damaged"):
        TextNetwork().load(path)
    (tmp_path / "net.npz").unlink()
    with pytest.raises(InputError, match=r"net.npz: No such file or directory; a network is a pair of files"):
        TextNetwork().load(path)
