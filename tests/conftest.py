from __future__ import annotations

import atexit
import os
import shutil
import tempfile

from hypothesis import settings

# Tests build into a kernel cache of their own: they must not depend on, nor fill, the user's.
if "PYTEST_XDIST_WORKER" in os.environ or "MUTATENN_KERNEL_CACHE" not in os.environ:
    folder = tempfile.mkdtemp(prefix="mutatenn-kernels-")
    os.environ["MUTATENN_KERNEL_CACHE"] = folder
    atexit.register(shutil.rmtree, folder, ignore_errors=True)

# A busy machine is no reason to fail: hypothesis' deadlines say nothing about the code.
settings.register_profile("mutatenn", deadline=None)
settings.load_profile("mutatenn")
