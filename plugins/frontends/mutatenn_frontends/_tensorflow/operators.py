"""Cuts a TensorFlow graph down to what its outputs need, and checks that it only computes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn import InputError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

CONTROL = """
    Assert Case CheckNumerics Const EnsureShape Enter Exit Identity IdentityN If LoopCond Merge
    NextIteration NoOp PartitionedCall Placeholder PlaceholderWithDefault PreventGradient Snapshot
    StatefulPartitionedCall StatelessCase StatelessIf StatelessWhile StopGradient Switch While
"""
MATH = """
    Abs Acos Acosh Add AddN AddV2 All Any ApproximateEqual ArgMax ArgMin Asin Asinh Atan Atan2 Atanh
    BatchMatMul BatchMatMulV2 BatchMatMulV3 Cast Ceil ClipByValue Cos Cosh Cross Cumprod Cumsum Div
    DivNoNan Einsum Equal Erf Erfc Exp Expm1 Floor FloorDiv FloorMod Greater GreaterEqual Inv IsFinite
    IsInf IsNan L2Loss Less LessEqual Log Log1p LogicalAnd LogicalNot LogicalOr MatMul Max Maximum Mean
    Min Minimum Mod Mul MulNoNan Neg NotEqual Pow Prod Range RealDiv Reciprocal Rint Round Rsqrt
    SegmentSum Select SelectV2 Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Square SquaredDifference Sub
    Sum Tan Tanh TruncateDiv TruncateMod UnsortedSegmentSum Xdivy
"""
NETWORK = """
    AvgPool AvgPool3D BiasAdd BiasAddV1 Conv2D Conv2DBackpropInput Conv3D DepthwiseConv2dNative Dilation2D
    Elu FakeQuantWithMinMaxArgs FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel FusedBatchNorm
    FusedBatchNormV2 FusedBatchNormV3 LRN LeakyRelu LogSoftmax MaxPool MaxPoolV2 QuantizeAndDequantize
    QuantizeAndDequantizeV2 QuantizeAndDequantizeV3 QuantizeAndDequantizeV4 Relu Relu6 Selu Softmax TopK
    TopKV2
"""
ARRAYS = """
    BatchToSpaceND BroadcastArgs BroadcastTo Concat ConcatOffset ConcatV2 DepthToSpace ExpandDims
    ExtractImagePatches Fill Gather GatherNd GatherV2 InvertPermutation LinSpace MatrixBandPart MatrixDiag
    MatrixDiagV3 MirrorPad OneHot OnesLike Pack Pad PadV2 ParallelStack Rank Reshape ResizeArea
    ResizeBicubic ResizeBilinear ResizeNearestNeighbor ReverseV2 Roll ScatterNd Shape ShapeN Size Slice
    SpaceToBatchND SpaceToDepth Split SplitV Squeeze StridedSlice Tile Transpose Unpack Where ZerosLike
"""
RESTORING = """
    Assign AssignVariableOp Const Identity NoOp PartitionedCall Placeholder PlaceholderWithDefault RestoreV2
    StatefulPartitionedCall
"""
VARIABLES = frozenset({"VarHandleOp", "Variable", "VariableV2"})
"""Operators that hold a variable."""
COMPUTES = (
    frozenset(f"{CONTROL} {MATH} {NETWORK} {ARRAYS} DisableCopyOnRead ReadVariableOp".split()) | VARIABLES
)
"""Operators that only compute: a list, since TensorFlow's own mark of side effects lacks some (ReadFile)."""
RESTORES = frozenset(RESTORING.split()) | VARIABLES
"""Operators with which SavedModels read the values of their variables."""
NOTES = ("_class", "_output_shapes")


def node_of(tensor: str) -> str:
    """Return the name of the node that gives a tensor: of ``^a``, ``a`` or ``a:1`` it is ``a``."""
    return tensor.removeprefix("^").partition(":")[0]


def cut(definition: Any, outputs: Iterable[str]) -> Any:
    """Return a GraphDef of the nodes and functions that the nodes named ``outputs`` need, and no others.

    It lacks the notes of devices, of neighbours, and of shapes, which may hold another batch size. Raises
    InputError if a node that is needed is not there.
    """
    nodes = {node.name: node for node in definition.node}
    functions = {function.signature.name: function for function in definition.library.function}
    kept = _reachable(nodes, outputs)
    called = _called(functions, [nodes[name] for name in kept])
    found = type(definition)(versions=definition.versions)
    found.node.extend(node for node in definition.node if node.name in kept)
    found.library.function.extend(functions[name] for name in functions if name in called)
    for node in nodes_of(found):
        node.device = ""
        for note in NOTES:
            node.attr.pop(note, None)
    return found


def _reachable(nodes: dict[str, Any], outputs: Iterable[str]) -> set[str]:
    kept, waiting = set[str](), list(outputs)
    while waiting:
        name = waiting.pop()
        if name not in kept:
            if name not in nodes:
                raise InputError(f"has no node {name!r}, which its graph asks for; export it again")
            kept.add(name)
            waiting += map(node_of, nodes[name].input)
    return kept


def _called(functions: dict[str, Any], nodes: Collection[Any]) -> set[str]:
    called, waiting = set[str](), list(nodes)
    while waiting:
        for name in _calls(waiting.pop()):
            if name in functions and name not in called:
                called.add(name)
                waiting += functions[name].node_def
    return called


def _calls(node: Any) -> Iterator[str]:
    """Yield the names of the functions that a node may call: of its attributes, and its own operator's."""
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)


def nodes_of(definition: Any) -> Iterator[Any]:
    """Yield every node of a graph and of its functions."""
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def require(definition: Any, allowed: Collection[str]) -> None:
    """Raise InputError that names every operator of the graph, functions included, that is not allowed."""
    functions = {function.signature.name for function in definition.library.function}
    foreign = sorted({node.op for node in nodes_of(definition)} - functions - set(allowed))
    if foreign:
        raise InputError(
            f"uses operators that may do more than compute scores: {', '.join(foreign)}; export the model "
            "for inference, without file, random, Python, table or custom operators"
        )
