"""Converts Resize and Upsample of every operator set to what ONNX says they compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from mutatenn import InputError, ir
from mutatenn_frontends._shared.resampling import is_choice, resampled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SCALES_ALONE = 10
"""The last operator set in which Resize knows nothing but a mode and scales, as Upsample does."""
SIMPLE = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
"""What these do, but that the nearest value is the next one where the image becomes smaller."""
THEIR_MODES = {"align_corners", "asymmetric", "half_pixel", "pytorch_half_pixel", "tf_crop_and_resize"}
THEIR_RANKS = (3, 4, 5)


@attrs.frozen
class _Resize:
    """What a node wants: its attributes as text and numbers, and for some axes a scale or the new size.

    It is ``simple`` if it has a mode and scales alone.
    """

    attributes: Mapping[str, Any]
    before: Sequence[int]
    scales: Mapping[int, float]
    sizes: Mapping[int, int]
    simple: bool = False

    @property
    def changed(self) -> list[int]:
        """The axes along which something is done."""
        axes = range(len(self.before))
        return [axis for axis in axes if axis in self.sizes or self.scales.get(axis, 1.0) != 1.0]

    def after(self) -> list[int]:
        """Return the new shape."""
        scaled = [int(np.float32(self.scales.get(axis, 1)) * size) for axis, size in enumerate(self.before)]
        return [self.sizes.get(axis, size) for axis, size in enumerate(scaled)]

    def weights(self, axis: int) -> NDArray[np.float64]:
        """Return ``[after, before]``: how much of each value along an axis goes into each of the new ones.

        ONNX's own reference says it, of rows that are one in a single place.
        """
        from onnx import TensorProto, helper
        from onnx.reference import ReferenceEvaluator

        scaled = axis not in self.sizes
        given = (
            {"scales": np.array([self.scales.get(axis)], np.float32)}
            if scaled
            else {"sizes": np.array([self.sizes[axis]])}
        )
        names = ["x", "", "scales", ""] if scaled else ["x", "", "", "sizes"]
        attributes = dict(self.attributes)
        if self.simple and self.scales[axis] < 1:
            attributes["nearest_mode"] = "ceil"
        node = helper.make_node("Resize", names, ["y"], axes=[1], **attributes)
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("x", *given)]
        graph = helper.make_graph([node], "axis", values, [helper.make_empty_tensor_value_info("y")])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)])
        rows = np.eye(self.before[axis])
        (found,) = ReferenceEvaluator(model).run(None, {"x": rows, **given})
        result: NDArray[np.float64] = np.asarray(found).T
        return result


def convert_resize(theirs: Any, opset: int, *given: Any) -> Any:
    """Convert Resize: by the importer where that computes the same, else axis by axis."""
    builder, inputs, attributes, params = given
    if opset <= SCALES_ALONE:
        return _scaled(builder, inputs[0], _numbers("Resize", opset, inputs, 1), attributes)
    scales = _numbers("Resize", opset, inputs, 2)
    sizes = _numbers("Resize", opset, inputs, 3)
    wanted = _wanted(inputs[0], opset, attributes, scales, sizes)
    if _is_as_theirs(wanted, attributes):
        present = [*inputs[:2], inputs[2] if scales else None, inputs[3] if sizes else None]
        return theirs.get_converter(opset)(builder, present, attributes, params)
    return _by_axes(builder, inputs[0], wanted)


def convert_upsample(_theirs: Any, opset: int, *given: Any) -> Any:
    """Convert Upsample, whose scales are attributes, or since operator set 9 an input."""
    builder, inputs, attributes, _ = given
    if len(inputs) > 1 and inputs[1] is not None:
        scales = _numbers("Upsample", opset, inputs, 1)
    elif "scales" in attributes:
        scales = [float(scale) for scale in attributes["scales"]]
    else:  # operator set 1
        scales = [1.0, 1.0, float(attributes["height_scale"]), float(attributes["width_scale"])]
    return _scaled(builder, inputs[0], scales, attributes)


def _scaled(builder: Any, data: Any, scales: Sequence[float], attributes: Mapping[str, Any]) -> Any:
    """Convert what has a mode and scales alone."""
    mode = {"bilinear": "linear"}.get(
        _text(attributes, "mode", "nearest"), _text(attributes, "mode", "nearest")
    )
    before = [int(size) for size in data.ty.shape]
    wanted = _Resize({"mode": mode, **SIMPLE}, before, dict(enumerate(scales)), {}, simple=True)
    whole = all(scale == int(scale) for scale in scales)
    if whole and len(before) == 4 and list(scales[:2]) == [1, 1]:  # noqa: PLR2004
        method = "nearest_neighbor" if mode == "nearest" else mode
        return ir.relax.op.image.resize2d(
            data,
            ir.relax.ShapeExpr(wanted.after()[2:]),
            layout="NCHW",
            method=method,
            coordinate_transformation_mode="asymmetric",
            rounding_method="floor",
        )
    return _by_axes(builder, data, wanted)


def _wanted(
    data: Any, opset: int, attributes: Mapping[str, Any], scales: Sequence[float], sizes: Sequence[float]
) -> _Resize:
    if _text(attributes, "keep_aspect_ratio_policy", "stretch") != "stretch":
        raise InputError(
            f"has a Resize (operator set {opset}) with keep_aspect_ratio_policy, which cannot be imported; "
            "export it with the sizes that this comes to"
        )
    before = [int(size) for size in data.ty.shape]
    axes = [axis % len(before) for axis in attributes.get("axes") or range(len(before))]
    known = {
        "coordinate_transformation_mode": _text(attributes, "coordinate_transformation_mode", "half_pixel"),
        "mode": _text(attributes, "mode", "nearest"),
        "nearest_mode": _text(attributes, "nearest_mode", "round_prefer_floor"),
        "cubic_coeff_a": float(attributes.get("cubic_coeff_a", -0.75)),
        "exclude_outside": int(attributes.get("exclude_outside", 0)),
        "antialias": int(attributes.get("antialias", 0)),
    }
    return _Resize(
        known,
        before,
        dict(zip(axes, scales, strict=False)),
        {axis: int(size) for axis, size in zip(axes, sizes, strict=False)},
    )


def _is_as_theirs(wanted: _Resize, attributes: Mapping[str, Any]) -> bool:
    """Tell whether TVM's importer, which knows sizes but no scales, makes the same of a Resize."""
    mode, after = wanted.attributes["coordinate_transformation_mode"], wanted.after()
    exact = all(wanted.before[axis] * scale == after[axis] for axis, scale in wanted.scales.items())
    return (
        (exact or bool(wanted.sizes))
        and mode in THEIR_MODES
        and not wanted.attributes["antialias"]
        and not attributes.get("axes")
        and len(after) in THEIR_RANKS
        and list(after[:2]) == list(wanted.before[:2])
        and not (mode == "align_corners" and 1 in after[2:])
    )


def _by_axes(builder: Any, data: Any, wanted: _Resize) -> Any:
    """Convert to one product, or one choice of values, for each axis."""
    if wanted.attributes["coordinate_transformation_mode"] == "tf_crop_and_resize":
        raise InputError(
            "has a Resize with coordinate_transformation_mode tf_crop_and_resize that cannot be imported; "
            "export it with sizes, without axes and antialias"
        )
    for axis in wanted.changed:
        weights, dtype = wanted.weights(axis), str(data.ty.dtype)
        if "float" not in dtype and not is_choice(weights):
            raise InputError(
                f"has a Resize of {dtype} that is no choice of values; export it with a Cast before"
            )
        data = resampled(builder, data, axis, weights)
    return data


def _numbers(operator: str, opset: int, inputs: Sequence[Any], place: int) -> list[float]:
    """Return the constant values of an input, none where it is absent or empty; raises InputError."""
    value = inputs[place] if len(inputs) > place else None
    if value is None:
        return []
    if isinstance(value, ir.relax.ShapeExpr):
        return [float(each) for each in value.values]
    if not isinstance(value, ir.tvm.ir.GenericConst):
        raise InputError(
            f"has a {operator} (operator set {opset}) whose scales or sizes are computed from the image; "
            "export it with fixed ones"
        )
    return [float(each) for each in value.value.numpy().ravel()]


def _text(attributes: Mapping[str, Any], name: str, default: str) -> str:
    value = attributes.get(name, default)
    return value.decode() if isinstance(value, bytes) else str(value)
