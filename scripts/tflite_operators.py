"""Runs forms of TFLite's operators through import, compiler and engine; writes docs/tflite-operators.md.

python scripts/tflite_operators.py                     all forms
python scripts/tflite_operators.py --only 'resize'     those whose names match, without writing

Needs the extra tensorflow: its converter makes the files.
"""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0"}

import numpy as np
import tensorflow as tf
from operator_forms import Outcome, image, listed_under, main, of_error, of_numbers, of_refusal, split

from mutatenn import InputError
from mutatenn_frontends.tflite import Tflite

logging.getLogger("absl").setLevel(logging.ERROR)
PAGE = Path(__file__).parents[1] / "docs" / "tflite-operators.md"
SHAPE, RELEASE = (1, 6, 8, 4), tf.__version__
INTRODUCTION = f"""\
# TFLite operators

<!-- Made by scripts/tflite_operators.py; run it, do not change this page. -->

What comes of forms of TFLite's operators on floats, each made by the converter of TensorFlow {RELEASE} from
code of TensorFlow (of an image `x`, {SHAPE}, and `s`, which is `x - 0.5`): *right* where import, the default
profile, LLVM with schedules and the engine give the numbers of TFLite's interpreter; *refused* where one line
names the operator and the cure. None is wrong. For operators on int8 see
[frontends.md](frontends.md#quantised-models).

    python scripts/tflite_operators.py

{{total}} forms: {{right}} right, {{refused}} refused.

"""
LAYERS = """\
nn.conv2d(s, k(3, 3, 4, 5), 1, 'SAME'); nn.conv2d(s, k(3, 3, 4, 5), 2, 'VALID');
nn.conv2d(s, k(3, 3, 4, 5), 2, 'SAME'); nn.conv2d(s, k(2, 3, 4, 5), 1, 'SAME', dilations=2);
nn.conv2d(s, k(3, 3, 4, 5), [1, 2, 1, 1], 'SAME'); nn.conv2d(s, k(1, 1, 4, 6), 1, 'VALID');
nn.conv2d(s, k(3, 3, 2, 6), 1, 'SAME'); nn.relu(nn.conv2d(s, k(3, 3, 4, 5), 1, 'SAME'));
nn.relu6(nn.bias_add(nn.conv2d(s, k(3, 3, 4, 5), 1, 'SAME'), k(5)));
nn.conv2d(s, k(3, 3, 4, 5), 1, [[0, 0], [1, 0], [2, 1], [0, 0]]);
nn.depthwise_conv2d(s, k(3, 3, 4, 1), [1, 1, 1, 1], 'SAME');
nn.depthwise_conv2d(s, k(3, 3, 4, 2), [1, 2, 2, 1], 'VALID');
nn.depthwise_conv2d(s, k(3, 3, 4, 1), [1, 1, 1, 1], 'SAME', dilations=[2, 2]);
nn.depthwise_conv2d(s, k(3, 2, 4, 3), [1, 1, 1, 1], 'VALID');
nn.conv2d_transpose(s, k(3, 3, 5, 4), [1, 12, 16, 5], 2, 'SAME');
nn.conv2d_transpose(s, k(3, 3, 5, 4), [1, 8, 10, 5], 1, 'VALID');
nn.conv2d_transpose(s, k(2, 2, 5, 4), [1, 12, 16, 5], 2, 'VALID');
nn.conv3d(s[..., None], k(3, 3, 3, 1, 2), [1, 1, 1, 1, 1], 'SAME');
linalg.matmul(reshape(s, [1, 192]), k(192, 5)); linalg.matmul(s, k(4, 5));
linalg.matmul(s, s, transpose_b=True); linalg.matmul(s, s, transpose_a=True);
linalg.matmul(reshape(s, [1, 192]), k(5, 192), transpose_b=True); nn.bias_add(s, k(4));
nn.batch_normalization(s, k(4), abs(k(4)) + 1.0, k(4), k(4), 1e-3); tensordot(s, k(4, 3), 1);
einsum('bhwc,cd->bhwd', s, k(4, 3)); einsum('bhwc,bhvc->bhwv', s, s)
"""
POOLS = """\
nn.max_pool2d(s, 2, 2, 'VALID'); nn.max_pool2d(s, 3, 2, 'SAME'); nn.max_pool2d(s, [2, 3], [1, 2], 'SAME');
nn.avg_pool2d(s, 2, 2, 'VALID'); nn.avg_pool2d(s, 3, 2, 'SAME'); nn.avg_pool2d(s, 3, 1, 'SAME');
nn.relu(nn.avg_pool2d(s, 2, 2, 'VALID')); nn.max_pool2d(s, 5, 5, 'SAME');
sqrt(nn.avg_pool2d(s * s, 2, 2, 'VALID') * 4.0); nn.local_response_normalization(s);
nn.l2_normalize(s, -1); nn.l2_normalize(s, [1, 2]); nn.local_response_normalization(s, 2, 0.5, 0.6, 2.0)
"""
ACTIVATIONS = """\
nn.relu(s); nn.relu6(9 * s); clip_by_value(s, -1.0, 1.0); nn.leaky_relu(s); nn.leaky_relu(s, 0.4);
nn.elu(s); nn.selu(s); nn.gelu(s); nn.gelu(s, approximate=True); nn.silu(s); nn.sigmoid(s); tanh(s);
nn.softmax(s); nn.softmax(reshape(s, [1, 192])); nn.log_softmax(s); nn.softplus(s); nn.softsign(s);
nn.softmax(s, 1); nn.relu(s) - k(4) * nn.relu(-s); s * nn.relu6(s + 3.0) / 6.0; nn.relu6(s + 3.0) / 6.0;
minimum(maximum(s, 0.0), 1.0); clip_by_value(s, -0.2, 0.3)
"""
ELEMENTS = """\
x + s; x - s; x * s; x / (x + 1.0); x + 1.0; 1.0 - x; x // 0.3; math.floormod(5.0 * s, 2.0);
math.floormod(5.0 * s, -2.0); truncatediv(cast(9.0 * s, int32), 2); x ** 2.0; x ** s; x ** 0.5; sqrt(x);
math.rsqrt(x + 1.0); exp(s); math.log(x + 1.0); math.log1p(x); abs(s); -s; sign(s); floor(4.0 * s);
math.ceil(4.0 * s); round(4.0 * s); sin(9.0 * s); cos(9.0 * s); square(s);
math.squared_difference(x, 2.0 * s); maximum(x, 2.0 * s); minimum(x, 2.0 * s); math.reciprocal(x + 1.0);
where(s > 0.0, x, -x); where(s > 0.0, x, 0.0); cast(s > 0.0, float32); cast(s >= x - 0.5, float32);
cast(s < 0.0, float32); cast(s <= 0.0, float32); cast(equal(round(s), 0.0), float32);
cast(not_equal(round(s), 0.0), float32); cast(logical_and(s > 0.0, x > 0.7), float32);
cast(logical_or(s > 0.0, x > 0.7), float32); cast(logical_not(s > 0.0), float32); cast(9.0 * s, int32);
cast(cast(9.0 * s, int32) * 2, float32); cast(cast(9.0 * s, int32) // 2, float32); math.atan2(s, x);
cast(9.0 * s, int8); cast(cast(200.0 * x, uint8), float32); s + k(4); s * k(8, 4); s - k(6, 8, 4);
k(6, 8, 1) * s; add_n([x, s, x]); cast(cast(9.0 * s, int64) % 4, float32); cast(math.is_nan(s), float32);
zeros_like(x) + s; ones_like(x) * s; fill([1, 6, 8, 4], 2.0) * s; cast(s, float16)
"""
REDUCTIONS = """\
reduce_mean(s, [1, 2]); reduce_mean(s, [1, 2], True); reduce_mean(s, -1); reduce_mean(s); reduce_sum(s, 3);
reduce_sum(s, [1, 2]); reduce_max(s, [1, 2]); reduce_max(s, -1, True); reduce_min(s, 2); reduce_prod(x, 3);
cast(argmax(s, -1), float32); cast(argmin(s, 2), float32); cast(argmax(s, 1), float32);
cast(reduce_any(s > 0.4, 3), float32); cast(reduce_all(s > -0.4, 3), float32); cumsum(s, 3);
cumsum(s, 2, True); cumsum(s, 1, False, True); math.top_k(s, 2)[0]; cast(math.top_k(s, 2)[1], float32);
math.reduce_variance(s, 3); math.reduce_std(s, [1, 2]); math.reduce_logsumexp(s, 3); norm(s, axis=3)
"""
SHAPES = """\
reshape(s, [1, 2, -1]); transpose(s, [0, 3, 1, 2]); transpose(s, [0, 2, 1, 3]); squeeze(s[:, :1]);
expand_dims(s, 2); concat([x, s], 3); concat([x, s, x], 1); stack([x, s], 1); unstack(s, axis=3)[2];
split(s, 2, 3)[1]; split(s, [1, 3], 3)[1]; s[:, 1:3]; s[:, ::2, 1::3]; s[:, -1]; s[:, :, -3:-1]; s[..., 0];
s[:, ::-1]; s[:, newaxis, 0]; slice(s, [0, 1, 2, 0], [1, 3, 4, -1]); gather(s, [2, 0], axis=3);
gather(s, [[1, 0], [2, 5]], axis=1); gather_nd(s, [[0, 1], [0, 3]]);
gather(s, cast(5.0 * x[0, :, 0, 0], int32), axis=1); tile(s, [1, 2, 1, 3]);
pad(s, [[0, 0], [1, 2], [0, 3], [0, 0]]); pad(s, [[0, 0], [1, 2], [0, 3], [0, 0]], constant_values=0.5);
pad(s, [[0, 0], [1, 2], [2, 1], [0, 0]], 'REFLECT'); pad(s, [[0, 0], [1, 2], [2, 1], [0, 0]], 'SYMMETRIC');
reverse(s, [2]); reverse(s, [1, 3]); roll(s, 1, 2); nn.space_to_depth(s, 2); nn.depth_to_space(s, 2);
space_to_batch(s, [2, 2], [[0, 0], [0, 0]]);
batch_to_space(reshape(s, [4, 3, 4, 4]), [2, 2], [[0, 0], [0, 0]]); one_hot(cast(3.0 * x, int32), 4);
one_hot(cast(3.0 * x, int32), 4, 2.0, -1.0, 1); broadcast_to(s[:, :1], [1, 6, 8, 4]); identity(s);
repeat(s, 2, 1); cast(shape(s), float32) * s; range(4.0) * s; linspace(0.0, 1.0, 4) * s;
cast(rank(s), float32) * s; linalg.band_part(s, 1, 1); linalg.diag(s[0, 0, 0]);
reverse_sequence(s, [3], 1); scatter_nd([[0], [2]], s[0, :2], [4, 8, 4]);
tensor_scatter_nd_update(s[0], [[0], [2]], 2.0 * s[0, :2]); boolean_mask(s, [True], axis=0);
image.flip_left_right(s); meshgrid(s[0, 0, 0], s[0, 1, 0])[0];
strided_slice(s, [0, 1, 0, 0], [1, 6, 8, 4], [1, 2, 3, 1]); linalg.matrix_transpose(s);
unique(x[0, 0, 0])[0]; sort(s); argsort(s, 3)
"""
RESIZES = """\
image.resize(s, [9, 13]); image.resize(s, [4, 3]); image.resize(s, [12, 16], 'nearest');
image.resize(s, [9, 5], 'nearest'); image.resize(s, [12, 16]);
compat.v1.image.resize_bilinear(s, [9, 13], align_corners=True);
compat.v1.image.resize_bilinear(s, [9, 13]);
compat.v1.image.resize_bilinear(s, [1, 1], align_corners=True);
compat.v1.image.resize_nearest_neighbor(s, [9, 13], align_corners=True);
compat.v1.image.resize_nearest_neighbor(s, [9, 13]); image.crop_to_bounding_box(s, 1, 2, 3, 4)
"""
CODES = split(
    *(
        text.strip().rstrip(";")
        for text in (LAYERS, POOLS, ACTIVATIONS, ELEMENTS, REDUCTIONS, SHAPES, RESIZES)
    )
)
FORMS = [(listed_under(f".{code}"), code) for code in CODES]


def converted(code: str) -> bytes:
    """Return the TFLite model of a form."""
    random = np.random.default_rng(5)

    def constant(*shape: int) -> Any:
        return tf.constant(random.normal(size=shape).astype(np.float32))

    names = {**vars(tf), "k": constant, "math": tf.math, "nn": tf.nn}

    @tf.function(input_signature=[tf.TensorSpec(SHAPE, tf.float32, "image")], autograph=False)
    def compute(image: Any) -> Any:
        found = eval(code, names, {"x": image, "s": image - 0.5})  # noqa: S307  # text of this module
        return tf.reshape(tf.cast(found, tf.float32), [1, -1])

    converter = tf.lite.TFLiteConverter.from_concrete_functions([compute.get_concrete_function()])
    content: bytes = converter.convert()
    return content


def judged(code: str) -> Outcome:
    """Return what comes of a form that TensorFlow can convert."""
    given = image(SHAPE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "net.tflite")
        path.write_bytes(converted(code))
        try:
            model = Tflite().load(path)
        except InputError as error:
            return of_refusal(error, path)
        except Exception as error:  # a bug, to be told
            return of_error(error)
        expected = Tflite().reference(model, given)
    return of_numbers(model, given, expected)


def number(place: int) -> Outcome:
    """Return what comes of the form in a place of the list."""
    return judged(CODES[place])


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PAGE, INTRODUCTION, FORMS, number))
