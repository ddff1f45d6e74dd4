"""Installs an example for real, in a folder of its own, and runs Python with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def install(example: str, target: Path) -> dict[str, str]:
    """Install an example into a folder; return an environment in which it is there."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), EXAMPLES / example]
    subprocess.run(command, check=True)
    kept = [path for path in (os.environ.get("PYTHONPATH"),) if path]
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(target), *kept])}


def python(environment: dict[str, str], *arguments: str | Path, cwd: Path | None = None) -> str:
    """Return what Python writes to its standard output; it must succeed."""
    command = [sys.executable, *arguments]
    done = subprocess.run(command, env=environment, cwd=cwd, check=True, text=True, stdout=subprocess.PIPE)
    return done.stdout


def listed(environment: dict[str, str], distribution: str) -> list[list[str]]:
    """Return the words of the rows of `mutatenn plugins` that are a distribution's."""
    shown = python(environment, "-m", "mutatenn", "plugins").splitlines()
    return [line.split() for line in shown if distribution in line]


def rows(example: str) -> list[list[str]]:
    """Return the words of the lines of an example's README."""
    return [line.split() for line in (EXAMPLES / example / "README.md").read_text().splitlines()]
