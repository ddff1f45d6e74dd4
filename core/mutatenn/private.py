"""Folders and files that nobody but this user, or the machine's owner, can have written."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

ROOT = 0
OTHERS = stat.S_IWGRP | stat.S_IWOTH


def make_private_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for this user alone; raises OSError."""
    missing = [place for place in (folder, *folder.parents) if not place.is_dir()]
    for place in reversed(missing):
        place.mkdir(mode=0o700, exist_ok=True)  # the umask takes away, and gives nothing


def distrust(folder: Path) -> str:
    """Return why a folder is not to be trusted, or nothing: others could have put there what they like.

    A missing folder is trusted.
    """
    try:
        about = folder.stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"it cannot be looked at ({error.strerror})"
    for place in folder.resolve().parents:
        mode = place.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            return f"everybody may write to {place}"
    return "" if not stat.S_ISDIR(about.st_mode) else _distrusted(about)


def read_trusted(path: Path) -> bytes:
    """Return what a file holds that nobody else could have written; raises OSError for any other.

    A link is one, and so is what is in a folder that others may write to.
    """
    opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(opened, "rb") as file:
        about, folder = os.fstat(opened), os.lstat(path.parent)
        if not (stat.S_ISREG(about.st_mode) and stat.S_ISDIR(folder.st_mode)):
            raise PermissionError(errno.EPERM, "what is there is no file")
        if why := _distrusted(about) or _distrusted(folder):
            raise PermissionError(errno.EPERM, f"of an entry, {why}")
        return file.read()


def write_private(path: Path, content: bytes) -> None:
    """Write a new file that this user alone may read and write; raises OSError."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb") as file:
        file.write(content)


def _distrusted(about: os.stat_result) -> str:
    if about.st_uid not in (os.geteuid(), ROOT):
        return f"it belongs to another user ({about.st_uid})"
    return "others may write to it" if about.st_mode & OTHERS else ""
