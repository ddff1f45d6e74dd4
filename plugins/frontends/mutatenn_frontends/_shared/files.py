"""What all frontends say of files: that they cannot be read, and which one an error is about."""

from __future__ import annotations

import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mutatenn import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mutatenn import Model

PREPROCESS = "preprocess.json"
"""The file, beside a model that was obtained, that says how its images are prepared."""
LONGEST_REASON = 240
LARGEST = 2**31
"""Bytes of a file that is read at once: neither protobuf nor FlatBuffers go further."""


def content(source: Path, kind: str, suffix: str) -> bytes:
    """Return a file's content; raises InputError naming what is wanted: "an ONNX model", ".onnx"."""
    try:
        about = source.stat()
        if not (stat.S_ISREG(about.st_mode) or stat.S_ISDIR(about.st_mode)):
            raise InputError("is neither a file nor a folder; give the path of a model")
        if about.st_size > LARGEST:
            raise InputError(f"is larger than {LARGEST >> 30} GiB, which {kind} cannot be; check the path")
        found = source.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no such file; give the path of {kind}") from None
    except IsADirectoryError:
        raise InputError(f"is a directory; give the path of the {suffix} file in it") from None
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror}); check the path and its permissions") from error
    if found.startswith(b"version https://git-lfs"):
        raise InputError("is a Git LFS pointer, not a model; fetch the model with 'git lfs pull'")
    return found


@contextmanager
def naming(source: Path | str) -> Iterator[None]:
    """Begin the message of an InputError, or InfrastructureError, with the model that it is about."""
    try:
        yield
    except (InputError, InfrastructureError) as error:
        raise type(error)(f"{source}: {error}") from error.__cause__


def require_unchanged(model: Model, digest: str) -> None:
    """Raise InputError unless this is the digest of the content that the model was imported from."""
    if digest != model.digest:
        raise InputError("has changed since it was imported; run the campaign again")


def reason(error: BaseException, *, last: bool = False) -> str:
    """Return the first line that an error says, or the last, without its full stop and not too long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    line = lines[-1 if last else 0].rstrip(".")
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}..."
