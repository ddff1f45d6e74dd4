"""Files of packages that others publish with npm: schemas, and the pages that read our reports."""

from __future__ import annotations

import io
import os
import tarfile
import urllib.request

import pytest

REGISTRY = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
SECONDS = 30
PACKAGES = {
    "mutation-testing-report-schema": "3.8.4",
    "mutation-testing-elements": "3.9.0",
    "@microsoft/jest-sarif": "1.0.0-beta.0",
}
"""What is asked for, in a version that is pinned."""
_kept: dict[str, bytes] = {}


def npm_file(package: str, path: str) -> bytes:
    """Return a file of a package; skips the test where the registry cannot be reached."""
    if package not in _kept:
        version = PACKAGES[package]
        url = f"{REGISTRY}/{package}/-/{package.rpartition('/')[2]}-{version}.tgz"
        try:
            with urllib.request.urlopen(url, timeout=SECONDS) as answer:
                _kept[package] = answer.read()
        except OSError as error:
            pytest.skip(f"the npm registry cannot be reached ({type(error).__name__})")
    with tarfile.open(fileobj=io.BytesIO(_kept[package])) as archive:
        member = archive.extractfile(f"package/{path}")
        assert member is not None
        return member.read()
