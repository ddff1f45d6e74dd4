"""Keeps a mistake of LLVM out of generated code: signs read from the wrong vector register.

Where a mask of a vector's lanes goes to a plain register, and comes of signs, LLVM writes MOVMSK in the place
of VPMOV*2M, also for registers 16 to 31, which MOVMSK cannot name: it reads another register instead
(https://github.com/llvm/llvm-project/issues/191304). Without two features of AVX-512 there is no VPMOV*2M.
"""

from __future__ import annotations

import json
import re
from typing import Any

from mutatenn.compiler import ir

FEATURES = ("avx512dq", "avx512bw")
APART = re.compile(r"(?:extractelement|bitcast) <\d+ x i1>|vector\.reduce\.\w+\.v\d+i1")
SIGNS = re.compile(r"icmp s\w\w <\d+ x i|trunc <\d+ x i\d+>.* to <\d+ x i1>")


def without_mask_moves(target: Any) -> Any | None:
    """Return a processor's target without the features that the mistake needs, None if it has neither."""
    has = ir.tvm.target.codegen.target_has_features
    had = [feature for feature in FEATURES if target.kind.name == "llvm" and has(feature, target)]
    if not had:
        return None
    config = json.loads(str(target))
    config["mattr"] = [*config.get("mattr", []), *(f"-{feature}" for feature in had)]
    return ir.tvm.target.Target(config)


def takes_signs_apart(library: Any) -> bool:
    """Tell whether generated code, a TVM runtime module, may move masks made of signs to plain registers."""
    code = library.inspect_source("ll")
    return bool(APART.search(code) and SIGNS.search(code))
