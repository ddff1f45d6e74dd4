"""Compiles one model for one environment, and derives mutants from it."""

from __future__ import annotations

import functools
import hashlib
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn.api.program import Call, Constant, Kernel, Program
from mutatenn.compiler import ir
from mutatenn.compiler.cache import text_digest
from mutatenn.compiler.kernels import as_build_error
from mutatenn.compiler.layers import LayerTracker
from mutatenn.compiler.legalize import Legalizer
from mutatenn.compiler.listing import NotAListError, array_of, list_calls
from mutatenn.compiler.lowering import Lowering, anonymous, digest
from mutatenn.compiler.profiles import Profile, lower_graph
from mutatenn.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from mutatenn.api.backend import Backend
    from mutatenn.api.mutator import Mutator
    from mutatenn.api.values import Bounds, Layer, Model, Stage

GRAPH_UNIT = "main"


@attrs.frozen
class Change:
    """What a mutation did to one unit, as TVMScript."""

    unit: str
    before: str
    after: str


@attrs.frozen(eq=False)
class Fault:
    """An operator to apply at a stage, at site ordinals by unit."""

    mutator: Mutator
    stage: Stage
    sites: Mapping[str, Collection[int]]


@attrs.define(eq=False)
class Toolchain:
    """A model, a backend's target and schedules, and a profile: from graph to Program and back to its parts.

    ``bounds`` tells which accesses of changed kernels are checked.
    ``program`` is the original; ``units`` are its kernels by name, each as a schedulable PrimFunc.
    ``fallback`` says why the model runs as a whole on TVM's virtual machine, or is empty when it is a list
    of kernels.
    """

    model: Model
    backend: Backend
    profile: Profile
    bounds: Bounds = "auto"
    program: Program = attrs.field(init=False)
    units: dict[str, Any] = attrs.field(init=False, factory=dict)
    fallback: str = attrs.field(init=False, default="")
    _graph_layers: dict[str, tuple[Layer, ...]] = attrs.field(init=False)
    _lowering: Lowering = attrs.field(init=False)
    _legalize: Legalizer = attrs.field(init=False, factory=Legalizer)
    _lowered: dict[int, tuple[Any, Kernel]] = attrs.field(init=False, factory=dict)
    _stages: dict[tuple[str, Stage], Any] = attrs.field(init=False, factory=dict)
    _constants: dict[tuple[object, ...], Constant] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self._lowering = Lowering(self.backend)
        sources: dict[str, Any] = {}
        followed = LayerTracker(self.model.module)
        self._graph_layers = followed.by_name()
        lowered = self._lower(self.model.module, followed.follow)
        try:
            kernel = functools.partial(self._kernel, sources)
            self.program = list_calls(lowered, kernel, self._constant, followed.layers)
            self.units = {kernel.name: sources[key] for key, kernel in self.program.kernels.items()}
        except NotAListError as reason:
            self.fallback = str(reason)
            self.program = self._whole(lowered)

    @property
    def target(self) -> Any:
        """The compiler target."""
        return self._lowering.target

    def compile(self, module: Any) -> Program:
        """Return the Program of a graph module; raise BuildError if the compiler rejects it."""
        lowered = self._lower(module)
        try:
            return list_calls(lowered, functools.partial(self._kernel, {}), self._constant)
        except NotAListError:
            return self._whole(lowered)

    def _lower(self, module: Any, follow: Callable[[Any], None] = lambda _: None) -> Any:
        lower = functools.partial(
            lower_graph, profile=self.profile, target=self.target, legalize=self._legalize, follow=follow
        )
        return as_build_error(lower, module)

    def unit(self, name: str, stage: Stage) -> Any:
        """Return a unit of the original as it stands at a stage: the graph, or one kernel."""
        if stage == "graph":
            return self.model.module
        if (name, stage) not in self._stages:
            self._stages[name, stage] = self._lowering.advance(self.units[name], "schedulable", stage)
        return self._stages[name, stage]

    def layers(self, unit: str, detail: str = "") -> tuple[Layer, ...]:
        """Return the layers of the user's network that a unit computes; a kernel may do so in several places.

        Of the graph it is those of a site, whose description begins with the variable that is computed. Empty
        where the frontend does not tell.
        """
        if unit == GRAPH_UNIT:
            return self._graph_layers.get(detail.partition(" = ")[0], ())
        return self._kernel_layers.get(unit, ())

    @property
    def model_layers(self) -> tuple[Layer, ...]:
        """The layers of the user's network, in the order in which the graph computes them."""
        return tuple(dict.fromkeys(layer for layers in self._graph_layers.values() for layer in layers))

    @functools.cached_property
    def _kernel_layers(self) -> dict[str, tuple[Layer, ...]]:
        found: dict[str, dict[Layer, None]] = {}
        for call in self.program.calls:
            found.setdefault(call.kernel.name, {}).update(dict.fromkeys(call.layers))
        return {name: tuple(layers) for name, layers in found.items()}

    def derive(
        self, mutator: Mutator, stage: Stage, sites: Mapping[str, Collection[int]]
    ) -> tuple[Program, list[Change]]:
        """Return the Program with a mutator applied at site ordinals per unit; see :meth:`combine`."""
        return self.combine([Fault(mutator, stage, sites)])

    def combine(self, faults: Sequence[Fault]) -> tuple[Program, list[Change]]:
        """Return the Program with all faults, at most one of them at graph level, and what changed.

        A unit that came out structurally equal contributes no change; without any, the Program is the
        original itself. A changed kernel is watched. Raises BuildError if the
        compiler rejects the result, or no call of a changed kernel is left.
        """
        changes: list[Change] = []
        program, replaced = self.program, {}
        for fault in faults:
            for name, chosen in fault.sites.items():
                before = self.unit(name, fault.stage)
                after = fault.mutator.apply(before, chosen)
                if ir.ffi.structural_equal(before, after):
                    continue
                changes.append(self._change(name, before, after))
                if fault.stage == "graph":
                    program = self.compile(after)
                else:
                    replaced[name] = self._changed(name, after, fault.stage)
        return self._with_kernels(program, replaced), changes

    def _change(self, name: str, before: Any, after: Any) -> Change:
        """Return a change as text; where only constants changed, which the text leaves out, it lists them."""
        one, other = script(before), script(after)
        if one == other:
            one, other = (
                f"{text}\n{self._list_constants(unit)}" for text, unit in ((one, before), (other, after))
            )
        return Change(name, one, other)

    def _list_constants(self, unit: Any) -> str:
        found: list[Any] = []
        for _, function in unit.functions_items():
            ir.ffi.structural_walk(function, (ir.tvm.ir.GenericConst, found.append), order="pre")
        constants = [self._constant(each) for each in found]
        return "\n".join(
            f"# const[{number}] {each.value.dtype}{list(each.value.shape)} {each.digest}"
            for number, each in enumerate(constants)
        )

    def _with_kernels(self, program: Program, replaced: dict[str, Kernel]) -> Program:
        """Return a Program with other code for kernels of the original, by name."""
        if not replaced:
            return program
        originals = {kernel.name: digest for digest, kernel in self.program.kernels.items()}
        kernels = {originals[name]: kernel for name, kernel in replaced.items()}
        for name in replaced:
            if originals[name] not in program.kernels:
                raise BuildError(f"the change of the graph leaves no call of kernel {name}")
        calls = tuple(
            Call(kernels.get(call.kernel.digest, call.kernel), call.arguments, call.results)
            for call in program.calls
        )
        return attrs.evolve(program, calls=calls)

    def _kernel(self, sources: dict[str, Any], name: str, function: Any) -> Kernel:
        nameless = anonymous(function)
        key = ir.ffi.structural_hash(nameless)
        known, kernel = self._lowered.get(key, (None, None))
        if kernel is None or not ir.ffi.structural_equal(known, nameless):
            kernel = self._lowering.kernel(name, function, "schedulable")
            self._lowered[key] = nameless, kernel
        sources.setdefault(kernel.digest, function)
        return kernel

    def _changed(self, name: str, function: Any, stage: Stage) -> Kernel:
        kernel = self._lowering.kernel(name, function, stage)
        return (
            kernel if kernel.digest in self.program.kernels else self._lowering.watched(kernel, self.bounds)
        )

    def _constant(self, expr: Any) -> Constant:
        array = array_of(expr)
        key = (array.ctypes.data, array.shape, str(array.dtype))
        if key not in self._constants:  # the entry keeps the memory alive, so the address stays its own
            content = hashlib.blake2b(f"{array.dtype} {array.shape} ".encode(), digest_size=16)
            content.update(np.ascontiguousarray(array).view(np.uint8).data)
            self._constants[key] = Constant(content.hexdigest(), array)
        return self._constants[key]

    def _whole(self, module: Any) -> Program:
        main = ir.tvm.IRModule(module.functions, attrs=module.attrs)
        kernel = Kernel(digest(main, self.target), GRAPH_UNIT, main)
        return Program((self.model.input, self.model.output), 0, 1, {}, (Call(kernel, (0,), (1,)),))


def identify(model: Model, backend: Backend, profile: Profile) -> str:
    """Return a key (hex) for what a model is lowered to, or "" if that depends on what cannot be told."""
    context = Lowering(backend).context
    return text_digest(f"{model.digest} {profile} {context}") if context else ""


def script(unit: Any) -> str:
    """Return a unit as TVMScript, constants omitted."""
    return str(unit.script(show_meta=False))
