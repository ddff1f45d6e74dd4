"""The whole test of a plugin: the kit checks every promise, on the examples of the operator."""

from __future__ import annotations

import mutatenn_plugin_sign_flip

from mutatenn.testing import check_plugin_module


def test_the_plugin_keeps_its_promises() -> None:
    """Raises an AssertionError that names the promise, and the example, that does not hold."""
    check_plugin_module(mutatenn_plugin_sign_flip)
