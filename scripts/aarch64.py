"""Sets up an emulated 64-bit ARM machine: ``python scripts/aarch64.py FOLDER``, on x86-64, without rights.

FOLDER/bin then has ``python`` (ARM's, with numpy and TVM, under qemu-user) and ``aarch64-linux-gnu-ld``. All
of it is unpacked from Debian packages and wheels, 1 GiB in all; what is there already is not fetched again.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import re
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path

MIRROR = os.environ.get("DEBIAN_MIRROR", "https://deb.debian.org/debian")
RELEASE = "bookworm"
PYTHON = "3.11"
FOREIGN = [
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib", "libc6", "libgcc-s1"),
    *("libstdc++6", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5", "libssl3", "libuuid1"),
    *("libsqlite3-0", "libncursesw6", "libtinfo6", "libreadline8", "libcrypt1"),
]
NATIVE = ["qemu-user-static", "binutils-aarch64-linux-gnu", "binutils-common", "libbinutils", "libjansson4"]
WHEELS = ["apache-tvm", "apache-tvm-ffi", "numpy", "ml_dtypes", "typing_extensions", "psutil"]
PLATFORMS = ["manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64"]
PYTHON_WRAPPER = """#!/bin/sh
here=$(cd "$(dirname "$0")/.." && pwd)
lib=$here/foreign/usr/lib/aarch64-linux-gnu:$here/foreign/lib/aarch64-linux-gnu
exec "$here/native/usr/bin/qemu-aarch64-static" -L "$here/foreign" -E PYTHONHOME="$here/foreign/usr" \\
  -E PYTHONPATH="$here/site" -E LD_LIBRARY_PATH="$lib" -E TVM_NUM_THREADS=1 \\
  "$here/foreign/usr/bin/python{python}" "$@"
"""
LINKER_WRAPPER = """#!/bin/sh
here=$(cd "$(dirname "$0")/.." && pwd)
LD_LIBRARY_PATH=$here/native/usr/lib/x86_64-linux-gnu exec "$here/native/usr/bin/aarch64-linux-gnu-ld" "$@"
"""


def main(folder: Path) -> None:
    """Set up the machine in a folder."""
    done = folder / ".complete"
    if done.exists():
        return
    for place, architecture, names in (("foreign", "arm64", FOREIGN), ("native", "amd64", NATIVE)):
        shutil.rmtree(folder / place, ignore_errors=True)  # what an earlier, interrupted set-up left
        known = packages(architecture)
        for name in names:
            unpack(fetch(*known[name], folder / "packages"), folder / place)
    wheels(folder / "site")
    for name, text in (("python", PYTHON_WRAPPER), ("aarch64-linux-gnu-ld", LINKER_WRAPPER)):
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text.replace("{python}", PYTHON))
        program.chmod(0o755)
    check = "import numpy, tvm, platform; print(platform.machine(), 'TVM', tvm.__version__)"
    subprocess.run([folder / "bin" / "python", "-c", check], check=True)  # noqa: S603  # ours
    done.touch()


def packages(architecture: str) -> dict[str, tuple[str, str]]:
    """Return (path, sha256) of every package of the release, by name."""
    url = f"{MIRROR}/dists/{RELEASE}/main/binary-{architecture}/Packages.xz"
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  # the mirror
        listing = lzma.decompress(answer.read()).decode()
    found = {}
    for entry in listing.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Filename|SHA256): (.*)$", entry, re.MULTILINE))
        if fields:
            found[fields["Package"]] = fields["Filename"], fields["SHA256"]
    return found


def fetch(path: str, digest: str, folder: Path) -> bytes:
    """Return a package's content, from the folder if it is there, else from the mirror; checked."""
    file = folder / path.rpartition("/")[2]
    if not file.exists():
        print("fetching", file.name, flush=True)
        with urllib.request.urlopen(f"{MIRROR}/{path}", timeout=120) as answer:  # noqa: S310  # the mirror
            content: bytes = answer.read()
        folder.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    content = file.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        file.unlink()
        raise SystemExit(f"{file.name} came damaged; run again")
    return content


def unpack(package: bytes, folder: Path) -> None:
    """Unpack the files of a Debian package, an ``ar`` archive with a tar archive in it."""
    position = 8
    while position < len(package):
        name = package[position : position + 16].decode().strip().rstrip("/")
        size = int(package[position + 48 : position + 58])
        content = package[position + 60 : position + 60 + size]
        position += 60 + size + size % 2
        if name.startswith("data.tar"):
            with tarfile.open(fileobj=io.BytesIO(content)) as archive:
                archive.extractall(folder, filter="tar")


def wheels(folder: Path) -> None:
    """Install ARM's wheels of the versions that are installed here."""
    from importlib.metadata import version

    shutil.rmtree(folder, ignore_errors=True)
    wanted = [f"{name}=={version(name)}" for name in WHEELS]
    platforms = [f"--platform={platform}" for platform in PLATFORMS]
    target = ["--target", str(folder), "--python-version", PYTHON, "--only-binary=:all:", "--no-deps"]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *target, *platforms, *wanted], check=True)  # noqa: S603  # ours


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
