"""Compiler profiles: which Relax passes lower an imported graph to kernels, in which order."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import attrs

from mutatenn.compiler import ir
from mutatenn.compiler.fold import fold_constants
from mutatenn.compiler.stacks import join_stacks
from mutatenn.errors import InputError
from mutatenn.nearest import suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# Every pass a profile can hold, in the order in which a profile applies them. FoldConstant stands wherever an
# earlier pass may have left arithmetic on constants.
SEQUENCE: tuple[str, ...] = (
    "CanonicalizeBindings",
    "FoldConstant",
    "FoldBatchnormToConv2D",
    "DecomposeOpsForInference",
    "FoldConstant",
    "EliminateCommonSubexpr",
    "CombineParallelMatmul",
    "FastMathTransform",
    "ConvertLayout",
    "OptimizeLayoutTransform",
    "FoldConstant",
    "LegalizeOps",
    "FuseOps",
    "DeadCodeElimination",
)

BASIC = frozenset({"LegalizeOps", "DeadCodeElimination"})
DEFAULT = BASIC | {
    "CanonicalizeBindings",
    "FoldConstant",
    "FoldBatchnormToConv2D",
    "DecomposeOpsForInference",
    "FuseOps",
}
EXTENDED = frozenset(SEQUENCE)
PROFILES: dict[str, frozenset[str]] = {"basic": BASIC, "default": DEFAULT, "extended": EXTENDED}
# Without these a graph cannot become kernels at all.
REQUIRED = BASIC


@attrs.frozen
class Profile:
    """A named pass set with single passes switched off or on; a pass in both lists is on.

    With an ``order``, it has these passes and those that it cannot do without, in this order: FuseOps, which
    fuses kernels, comes after LegalizeOps, the others before it. Raises InputError for an unknown base or
    pass, naming the nearest and the known ones, and for a pass that cannot be off.
    """

    base: str = "default"
    off: tuple[str, ...] = ()
    on: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    def __attrs_post_init__(self) -> None:
        _require_known("profile", self.base, PROFILES)
        for name in (*self.off, *self.on, *self.order):
            _require_known("pass", name, SEQUENCE)
        for name in sorted(REQUIRED & set(self.off)):
            raise InputError(f"pass {name} cannot be switched off: without it there are no kernels to run")
        if self.order and (self.off or self.on):
            raise InputError("a profile has an order of passes, or passes off and on, not both")

    @property
    def passes(self) -> tuple[str, ...]:
        """The passes this profile applies, in order."""
        if self.order:
            graph = [name for name in self.order if name not in {"FuseOps", *REQUIRED}]
            return (*graph, "LegalizeOps", *(["FuseOps"] * ("FuseOps" in self.order)), "DeadCodeElimination")
        chosen = (PROFILES[self.base] - set(self.off)) | set(self.on)
        return tuple(name for name in SEQUENCE if name in chosen)

    def __str__(self) -> str:
        if self.order:
            return " > ".join(self.order)
        return "".join([self.base, *(f" -{name}" for name in self.off), *(f" +{name}" for name in self.on)])


def ablation(of: str = "extended", *, pairs: bool = False) -> dict[str, Profile]:
    """Return the profiles that tell what single passes do, by name.

    They are ``basic``, basic and each pass alone, all of a profile's passes but one, and all; with ``pairs``
    basic and each two passes, too, in both orders where both change the graph. (Louloudakis et al., DeltaNN,
    2023, tables III and IV.)
    """
    passes = [name for name in dict.fromkeys(SEQUENCE) if name in PROFILES[of] - BASIC]
    found = {"basic": Profile("basic")}
    found |= {f"plus-{name}": Profile("basic", on=(name,)) for name in passes}
    if pairs:
        found |= {
            f"{one}-then-{other}": Profile(order=(one, other))
            for one, other in itertools.permutations(passes, 2)
            if one != "FuseOps"
        }
    found |= {f"minus-{name}": Profile(of, off=(name,)) for name in passes}
    return found | {of: Profile(of)}


def _require_known(kind: str, name: str, names: Iterable[str]) -> None:
    known = list(dict.fromkeys(names))
    if name not in known:
        raise InputError(f"unknown {kind} {name!r}{suggestion(name, known) or ';'} known: {', '.join(known)}")


def lower_graph(
    module: Any,
    profile: Profile,
    target: Any,
    legalize: Callable[[Any], Any],
    follow: Callable[[Any], None] = lambda _: None,
) -> Any:
    """Return the module with every operator legalised to a TIR kernel, by the profile's passes.

    ``legalize`` does what TVM's LegalizeOps does; ``follow`` is shown the module after each pass.
    """
    with target:
        for name in profile.passes:
            for apply in [legalize] if name == "LegalizeOps" else _passes(name):
                module = apply(module)
                follow(module)
    return module


def _passes(name: str) -> Iterable[Callable[[Any], Any]]:
    transform = ir.relax.transform
    if name == "FoldConstant":
        return [fold_constants, transform.CanonicalizeBindings()]
    if name == "FuseOps":
        return [transform.AnnotateTIROpPattern(), transform.FuseOps(), transform.FuseTIR()]
    if name == "ConvertLayout":
        return [join_stacks, transform.ConvertLayout({"relax.nn.conv2d": ["NHWC", "OHWI"]})]
    return [getattr(transform, name)()]
