"""Keeps a mistake of LLVM out of generated code: signs read from the wrong vector register.

Where a mask of a vector's lanes goes to a plain register, and comes of signs, LLVM writes MOVMSK in the place
of VPMOV*2M, also for registers 16 to 31, which MOVMSK cannot name: it reads another register instead
(https://github.com/llvm/llvm-project/issues/191304). Without two features of AVX-512 there is no VPMOV*2M.
"""

from __future__ import annotations

import functools
import json
import re
from typing import Any

from mutatenn.compiler import ir

FEATURES = ("avx512dq", "avx512bw")
APART = re.compile(r"(?:extractelement|bitcast) <\d+ x i1>|vector\.reduce\.\w+\.v\d+i1")
SIGNS = re.compile(r"icmp s\w\w <\d+ x i|trunc <\d+ x i\d+>.* to <\d+ x i1>")


def without_mask_moves(target: Any) -> Any | None:
    """Return a processor's target without the features that the mistake needs, None if it has neither."""
    return _without_mask_moves(str(target)) if target.kind.name == "llvm" else None


@functools.cache
def _without_mask_moves(text: str) -> Any | None:
    config = json.loads(text)
    has, target = ir.tvm.target.codegen.target_has_features, ir.tvm.target.Target(config)
    had = [feature for feature in FEATURES if has(feature, target)]
    if not had:
        return None
    config["mattr"] = [*config.get("mattr", []), *(f"-{feature}" for feature in had)]
    return ir.tvm.target.Target(config)


def takes_signs_apart(library: Any) -> bool:
    """Tell whether generated code, a TVM runtime module, may move masks made of signs to plain registers."""
    code = library.inspect_source("ll")
    return bool(APART.search(code) and SIGNS.search(code))
