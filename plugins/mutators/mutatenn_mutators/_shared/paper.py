"""Where most of the built-in operators come from."""

from __future__ import annotations

PAPER = (
    "MutateNN: Mutation Testing of Image Recognition Models Deployed on Hardware Accelerators, "
    "Louloudakis et al., 2023"
)
CODE = "MutateNN's published code (github.com/luludak/MutateNN, mutators/core/tir.py), beside the paper"
DEEPMUTATION = (
    "DeepMutation: Mutation Testing of Deep Learning Systems, Ma et al., ISSRE 2018; "
    "DeepMutation++: A Mutation Testing Framework for Deep Learning Systems, Hu et al., ASE 2019"
)

MUTATIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("LN", "ReLU to sigmoid", ("relu-to-sigmoid",)),
    ("AN", "add to subtract", ("add-to-subtract",)),
    ("NIO", "transpose before conv2d: input 0", ("transpose-conv2d-data",)),
    ("NIO", "transpose before dense: input 0", ("transpose-dense-data",)),
    (
        "NIO",
        "transpose before conv2d and dense: input 0",
        ("transpose-conv2d-data", "transpose-dense-data"),
    ),
    (
        "NIO",
        "transpose before conv2d and dense: input 1, the weights",
        ("transpose-conv2d-weight", "transpose-dense-weight"),
    ),
    ("NIO", "transpose before batch norm: input 0", ("transpose-batch-norm-data",)),
    ("NIO", "exp before conv2d and dense", ("exp-conv2d-before", "exp-dense-before")),
    ("NIO", "exp after conv2d and dense", ("exp-conv2d-after", "exp-dense-after")),
    ("NIO", "exp before batch norm", ("exp-batch-norm-before",)),
    ("NIO", "round before batch norm", ("round-batch-norm-before",)),
    ("AT", "store float32 as float16", ("store-float16",)),
    ("AT", "store float32 as int16", ("store-int16",)),
    ("AT", "store float32 as int8", ("store-int8",)),
    ("SV", "store minus 1e-8", ("store-minus-epsilon",)),
    ("SV", "store times (1 + 1e-8)", ("store-times-one-plus-epsilon",)),
    ("CSO", "`<` to `<=`", ("lt-to-le",)),
    ("CSO", "`<` to `>`", ("lt-to-gt",)),
    ("CSO", "`>` to `<`", ("gt-to-lt",)),
    ("CSO", "`>` to `>=`", ("gt-to-ge",)),
    ("CSO", "right operand of `<` plus 0.5", ("threshold-plus-half",)),
)
"""The paper's 21 mutations: category, what each does, and the operators here that do it.

One of convolutions and dense layers is two operators here, one for each kind of layer.
"""
