"""Runs forms of PyTorch's operators through export, import, compiler and engine; writes their page of docs.

python scripts/torch_operators.py                      all forms
python scripts/torch_operators.py --only 'avg_pool'    those whose names match, without writing
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from operator_forms import Outcome, image, listed_under, main, of_error, of_numbers, of_refusal, split
from torch import nn

from mutatenn import InputError
from mutatenn_frontends.pytorch import PyTorch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = Path(__file__).parents[1] / "docs" / "torch-operators.md"
SHAPE = (1, 4, 6, 8)
RELEASE = torch.__version__.partition("+")[0]
INTRODUCTION = f"""\
# PyTorch operators

<!-- Made by scripts/torch_operators.py; run it, do not change this page. -->

What comes of forms of PyTorch's operators, each exported by `torch.export` {RELEASE} as a classifier of an
image {SHAPE}: *right* where import, the default profile, LLVM with schedules and the engine give
PyTorch's own numbers; *refused* where one line names the operator and the cure. None is wrong.

    python scripts/torch_operators.py

{{total}} forms: {{right}} right, {{refused}} refused.

"""


class Form(nn.Module):
    """A function of an image as a network; its modules, if it has any, are registered."""

    def __init__(self, compute: Callable[..., Any], *modules: nn.Module) -> None:
        super().__init__()
        self.compute, self.modules_ = compute, nn.ModuleList(modules)

    def forward(self, image: Any) -> Any:
        """Return the function's value in one row of numbers."""
        return self.compute(image, *self.modules_).to(torch.float32).reshape(1, -1)


def _signed(image: Any) -> Any:
    return image - 0.5


def _layers() -> Iterator[tuple[str, str, Any]]:
    """Yield operator, form and network of layers with weights."""
    yield from _convolutions()
    yield from _products()
    yield from _norms()
    yield from _others()


def _convolutions() -> Iterator[tuple[str, str, Any]]:
    convolutions: list[dict[str, Any]] = [
        {},
        {"stride": 2, "padding": 1},
        {"padding": "same"},
        {"padding": "valid", "bias": False},
        {"padding": "same", "dilation": (2, 1)},
        {"dilation": 2},
        {"groups": 2},
        {"groups": 4, "padding": 1},
        {"padding": 1, "padding_mode": "reflect"},
        {"padding": (1, 2), "padding_mode": "circular"},
        {"padding": 1, "padding_mode": "replicate"},
    ]
    for options in convolutions:
        yield "conv2d", _shown(options), nn.Conv2d(4, 8, 3, **options)
    for options in (
        {},
        {"stride": 2, "output_padding": 1, "padding": 1},
        {"groups": 2},
        {"dilation": 2},
        {"bias": False, "stride": (2, 1)},
    ):
        yield "conv_transpose2d", _shown(options), nn.ConvTranspose2d(4, 8, 3, **options)
    yield "conv1d", "", Form(lambda x, layer: layer(x.flatten(2)), nn.Conv1d(4, 8, 3, padding=1))
    yield (
        "conv1d",
        "stride, groups",
        Form(lambda x, layer: layer(x.flatten(2)), nn.Conv1d(4, 8, 5, 2, groups=2)),
    )
    yield "conv3d", "", Form(lambda x, layer: layer(x[:, None]), nn.Conv3d(1, 2, 3, padding=1))
    yield "conv_transpose1d", "", Form(lambda x, layer: layer(x.flatten(2)), nn.ConvTranspose1d(4, 8, 3, 2))


def _products() -> Iterator[tuple[str, str, Any]]:
    for bias in (True, False):
        yield "linear", f"bias={bias}", Form(lambda x, layer: layer(x), nn.Linear(8, 5, bias=bias))
    yield "bilinear", "", Form(lambda x, layer: layer(x, x + 1), nn.Bilinear(8, 8, 5))


def _norms() -> Iterator[tuple[str, str, Any]]:
    for affine in (True, False):
        shown = f"affine={affine}"
        yield "batch_norm", shown, _norm(nn.BatchNorm2d(4, affine=affine))
        yield "group_norm", shown, _norm(nn.GroupNorm(2, 4, affine=affine))
        yield "instance_norm", shown, _norm(nn.InstanceNorm2d(4, affine=affine))
        yield "layer_norm", shown, _norm(nn.LayerNorm(8, elementwise_affine=affine))
        yield (
            "layer_norm",
            f"three dimensions, {shown}",
            _norm(nn.LayerNorm((4, 6, 8), elementwise_affine=affine)),
        )
        yield "rms_norm", shown, _norm(nn.RMSNorm(8, elementwise_affine=affine))
    yield (
        "group_norm",
        "of channels last",
        Form(lambda x, layer: layer(x.permute(0, 3, 1, 2)), _norm(nn.GroupNorm(4, 8))),
    )
    yield "layer_norm", "without bias", _norm(nn.LayerNorm(8, bias=False))
    yield "batch_norm", "1d", Form(lambda x, layer: layer(x.flatten(2)), _norm(nn.BatchNorm1d(4)))


def _others() -> Iterator[tuple[str, str, Any]]:
    yield "prelu", "one weight", Form(lambda x, layer: layer(_signed(x)), nn.PReLU())
    yield "prelu", "a weight a channel", Form(lambda x, layer: layer(_signed(x)), nn.PReLU(4, 0.3))
    for options in ({}, {"batch_first": True}):
        attention = nn.MultiheadAttention(8, 2, **options)
        yield (
            "multi_head_attention",
            _shown(options),
            Form(lambda x, layer: layer(*[x.flatten(1, 2)] * 3)[0], attention),
        )
    yield (
        "multi_head_attention",
        "mean weights",
        Form(
            lambda x, layer: layer(*[x.flatten(1, 2)] * 3)[1], nn.MultiheadAttention(8, 2, batch_first=True)
        ),
    )
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    yield "transformer_encoder_layer", "", Form(lambda x, layer: layer(x.flatten(1, 2)), encoder)
    yield (
        "embedding",
        "",
        Form(lambda x, layer: layer((x * 4).to(torch.int64).clamp(0, 4)), nn.Embedding(5, 3)),
    )
    for kind in (nn.LSTM, nn.GRU, nn.RNN):
        recurrent = kind(8, 5, batch_first=True)
        yield kind.__name__.lower(), "", Form(lambda x, layer: layer(x.flatten(1, 2))[0], recurrent)


def _norm(layer: nn.Module) -> nn.Module:
    """Give a normalisation weights and statistics that do something."""
    for value in [*layer.parameters(), *layer.buffers()]:
        if value.is_floating_point():
            nn.init.uniform_(value, 0.5, 1.5)
    return layer


def _shown(options: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value!r}" for key, value in options.items())


POOLS = """\
F.max_pool2d(x, 2); F.max_pool2d(x, 3, 2, 1); F.max_pool2d(x, 3, 2, ceil_mode=True);
F.max_pool2d(x, 2, 1, dilation=2); F.max_pool2d(x - 2, 3, 1, 1); F.max_pool2d(x, (2, 3), (1, 2));
F.max_pool2d(x, 2, return_indices=True)[0]; F.max_pool1d(x.flatten(2), 3, 2); F.avg_pool2d(x, 2);
F.avg_pool2d(x, 3, 2, 1); F.avg_pool2d(x, 3, 2, 1, count_include_pad=False);
F.avg_pool2d(x, 3, 2, ceil_mode=True); F.avg_pool2d(x, 3, 2, 1, ceil_mode=True);
F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False); F.avg_pool1d(x.flatten(2), 3, 2);
F.avg_pool2d(x, (2, 3), divisor_override=5); F.avg_pool3d(x[:, None], 2); F.max_pool3d(x[:, None], 2);
F.adaptive_avg_pool2d(x, 1); F.adaptive_avg_pool2d(x, (3, 5)); F.adaptive_avg_pool2d(x, (None, 3));
F.adaptive_avg_pool2d(x, (9, 11)); F.adaptive_max_pool2d(x, 1); F.adaptive_max_pool2d(x, (2, 4));
F.adaptive_max_pool2d(x, (4, 5)); F.adaptive_avg_pool1d(x.flatten(2), 5); F.lp_pool2d(x, 2, 2)
"""
ACTIVATIONS = """\
F.relu(s); F.relu6(6 * s); F.leaky_relu(s); F.leaky_relu(s, 0.3); F.elu(s); F.elu(s, 0.4); F.selu(s);
F.celu(s); F.celu(s, 0.4); F.gelu(s); F.gelu(s, approximate='tanh'); F.silu(s); F.mish(s);
F.hardswish(6 * s); F.hardsigmoid(6 * s); F.hardtanh(4 * s); F.hardtanh(s, -0.2, 0.3); F.sigmoid(s);
F.tanh(s); F.softplus(s); F.softplus(9 * s, 2, 3); F.softsign(s); F.softshrink(s); F.softshrink(s, 0.2);
F.hardshrink(s, 0.2); F.tanhshrink(s); F.threshold(s, 0.1, 2.0); F.glu(s, 1); F.glu(s); F.logsigmoid(s);
F.softmin(s, 1); F.softmax(s, 1); F.softmax(s, -1); F.softmax(s, 2); F.log_softmax(s, 1); F.rrelu(s);
F.normalize(s); F.normalize(s, 1, -1); F.normalize(s, 3, 2); F.local_response_norm(s, 3);
F.local_response_norm(s, 2, 0.5, 0.6, 2.0); F.dropout(s, 0.5, False); F.softmax(s, 1, dtype=torch.float64);
F.gumbel_softmax(s, hard=False) * 0
"""
ELEMENTS = """\
torch.add(x, s, alpha=2); torch.sub(x, s, alpha=3); torch.rsub(x, 2, alpha=3); 2 - x; x * s; x / (s + 3);
torch.div(5 * s, 0.7, rounding_mode='trunc'); torch.div(5 * s, 0.7, rounding_mode='floor'); 5 * s // 2;
x ** 2; x ** 0.5; x ** -1.5; 2 ** s; x ** s; s ** 3; torch.sqrt(x); torch.rsqrt(x + 1); torch.exp(s);
torch.exp2(s); torch.expm1(s); torch.log(x + 1); torch.log1p(x); torch.log2(x + 1); torch.log10(x + 1);
torch.abs(s); torch.neg(s); torch.sign(s); torch.sgn(s); torch.floor(4 * s); torch.ceil(4 * s);
torch.round(4 * s); torch.round(4 * s, decimals=1); torch.trunc(4 * s); torch.frac(4 * s);
torch.clamp(s, -0.2, 0.3); torch.clamp(s, min=0.1); torch.clamp(s, max=0.1); torch.clamp(s, x - 0.6, x);
torch.clamp(s, 0.3, -0.3); torch.clip(s, 0, 1); torch.maximum(x, 2 * s); torch.minimum(x, 2 * s);
torch.fmod(5 * s, 2); torch.remainder(5 * s, 2); 5 * s % 0.7; torch.fmod(5 * s, x + 1);
torch.remainder(5 * s, -2); torch.atan2(s, x); torch.sin(9 * s); torch.cos(9 * s); torch.tan(s);
torch.asin(s); torch.acos(s); torch.atan(s); torch.sinh(s); torch.cosh(s); torch.asinh(s);
torch.acosh(x + 1); torch.atanh(s); torch.erf(s); torch.erfc(s); torch.erfinv(s); torch.reciprocal(x + 1);
torch.square(s); torch.sinc(s); torch.where(s > 0, x, -x); torch.where(s > 0, 1.0, 0.0);
torch.where(s > 0, x, 0); torch.lerp(x, s, 0.3); torch.lerp(x, s, x); torch.addcmul(x, s, s, value=2);
torch.addcdiv(x, s, x + 1, value=2); torch.hypot(x, s); torch.copysign(x, s); torch.heaviside(s, x);
torch.logaddexp(x, s); torch.xlogy(x, x + 1); (s > 0).float(); (s >= x - 0.5).float(); (s < 0).float();
torch.eq(torch.round(s), 0).float(); torch.ne(torch.round(s), 0).float();
torch.logical_and(s > 0, x > 0.7).float(); (~(s > 0)).float(); torch.logical_xor(s > 0, x > 0.7).float();
((s > 0) | (x > 0.7)).float(); torch.isnan(s / (s - s)).float(); torch.isinf(s / 0).float();
torch.nan_to_num(s / 0); torch.nan_to_num(s / (s - s), 2.0); torch.isfinite(s).float();
torch.sigmoid(s).logit(); torch.logit(x, 0.1); torch.deg2rad(s); torch.special.i0(s); torch.lgamma(x + 1);
torch.bitwise_and((9 * x).int(), 3); (9 * x).int() << 1; (9 * x).int() // 2;
torch.div((9 * s).int(), 2, rounding_mode='trunc'); 1 // (x + 0.1); x / 2; 1 - x; (9 * s).int() % 4;
(9 * s).int() / 2; s.half().float(); (s.half() * x.half()).float(); s.double() * 2;
(9 * s).to(torch.int64); (9 * x).to(torch.uint8); (9 * s).to(torch.int32); s.bool().float();
s.to(torch.bfloat16).float(); (9 * s).to(torch.int8).float(); s.add_(1) + x; s.mul_(2).relu_();
s.clamp_(0.0, 0.2); x.clone().fill_(3) * s; x.masked_fill(s > 0, 7)
"""
REDUCTIONS = """\
x.sum(); x.sum(1); x.sum((2, 3), keepdim=True); x.mean((2, 3)); x.mean(); x.mean(-1, keepdim=True);
x.amax(1); x.amin((2, 3)); x.max(2)[0]; x.min(-1)[0]; x.max(); x.min(); x.prod(1); x.prod(); x.std(1);
x.std((2, 3), correction=0); x.var(1); x.var((1, 2), unbiased=False); x.var((2, 3), correction=2); x.std();
x.var(); torch.var_mean(x, 1)[0]; torch.var_mean(x, (2, 3), correction=0)[1]; torch.std_mean(x, 1)[0];
x.argmax(1).float(); x.argmin(-1, keepdim=True).float(); x.argmax().float(); x.max(1)[1].float();
torch.logsumexp(x, 1); torch.logsumexp(9 * x, (2, 3), keepdim=True); x.norm(); x.norm(2, 1);
s.norm(1, (2, 3)); torch.linalg.vector_norm(s, float('inf'), 1); torch.linalg.vector_norm(s, 3, 1);
torch.linalg.vector_norm(s, 0, 1); torch.linalg.vector_norm(s, -1, 1);
torch.linalg.vector_norm(s, float('-inf'), 1); torch.linalg.matrix_norm(x); x.cumsum(1); x.cumsum(-1);
x.cumprod(2); x.flip(3).cumsum(3); x.cummax(1)[0]; x.logcumsumexp(1); (x > 0.9).any(1).float();
(x > 0.1).all((2, 3)).float(); (x > 0.9).any().float(); torch.count_nonzero(x > 0.5, 1).float();
x.median(1)[0]; x.median(); x.mode(1)[0]; x.topk(2, 1)[0]; x.topk(3, -1, largest=False)[0];
x.topk(2, 1)[1].float(); x.sort(1)[0]; x.sort(-1, descending=True)[0]; x.argsort(1).float();
x.kthvalue(2, 1)[0]; x.quantile(0.3, 1); torch.sum(9 * x > 4, (1, 2)); x.sum(1, dtype=torch.float64);
x.nansum(1); x.aminmax(dim=1)[0]; x.diff(dim=3)
"""
PRODUCTS = """\
x @ x.transpose(2, 3); torch.matmul(x, x[0, 0].T); torch.matmul(x[0, 0], x.transpose(2, 3));
torch.mv(x[0, 0], x[0, 1, 0]); x[0, 0, 0] @ x[0, 0, 1]; x @ x[0, 0, 0];
torch.bmm(x[0], x[0].transpose(1, 2)); torch.mm(x[0, 0], x[0, 1].T);
torch.addmm(x[0, 0, :, :6], x[0, 0], x[0, 1].T, beta=2, alpha=3);
torch.addmm(x[0, 0, 0, :6], x[0, 0], x[0, 1].T);
torch.baddbmm(x[0, :, :, :6], x[0], x[0].transpose(1, 2), beta=0.5, alpha=2);
torch.outer(x[0, 0, 0], x[0, 0, 1]); torch.einsum('bchw,bchv->bcwv', x, x);
torch.einsum('bchw,bdhw->bcd', x, s); torch.einsum('bchw->bwc', x);
torch.einsum('bchw,w->bch', x, x[0, 0, 0]); torch.einsum('bchh->bch', x[:, :, :, :6]);
torch.tensordot(x, x, ([2, 3], [2, 3])); F.scaled_dot_product_attention(x, x, s);
F.scaled_dot_product_attention(x, s, x, is_causal=True);
F.scaled_dot_product_attention(x, x, s, scale=0.2);
F.scaled_dot_product_attention(x, x, s, attn_mask=s[..., :6]);
F.scaled_dot_product_attention(x, x, s, attn_mask=s[..., :6] > 0); torch.kron(x[0, 0], x[0, 1]);
torch.cdist(x, s); F.linear(x, x[0, 0]); F.linear(x, x[0, 0], x[0, 0, :, 0]);
torch.cross(x[:, :3], s[:, :3], dim=1); F.cosine_similarity(x, s); torch.linalg.vecdot(x, s);
torch.chain_matmul(x[0, 0], x[0, 1].T, x[0, 2]); F.pairwise_distance(x, s); torch.inner(x, s)
"""
SHAPES = """\
x.reshape(1, 2, -1); x.view(1, -1); x.flatten(1); x.flatten(1, 2); x.unflatten(1, (2, 2));
x.permute(0, 3, 1, 2); x.transpose(1, 3); x.squeeze(); x.unsqueeze(0); x[:, :1].expand(-1, 5, -1, -1) * 2;
x.repeat(1, 2, 1, 3); x.tile(2, 1); x.repeat_interleave(2, 1);
x.repeat_interleave(torch.tensor([1, 2, 3, 1]), 1); torch.cat([x, s], 1); torch.cat([x, s], -1);
torch.stack([x, s], 2); torch.hstack([x, s]); torch.dstack([x, s]); x.split(3, 1)[1];
x.split([1, 3], 1)[1]; x.chunk(3, 3)[2]; x.tensor_split(3, 3)[1]; x.unbind(1)[2]; x.select(1, -1);
x.narrow(3, 2, 3); x.index_select(1, torch.tensor([2, 0])); x[:, 1:3]; x[:, ::2, 1::2]; x[:, -1];
x[:, [-1, 0]]; x[:, :, [[0, -2], [1, 1]]]; x[:, [1], :, [[-1], [0]]]; x[-1, :, [0, -1], [[1], [-2]]];
x[:, :, -3:-1]; x[..., 0]; x[:, None, 0]; x[:, [3, 1]]; x[:, :, [0, 2], [1, 3]];
x[:, torch.tensor([True, False, True, True])]; x[:, [1, 0]][:, :, [2, 1]]; x[0, [1, 2], :, [3, 4]];
x.flip(2); x.flip(1, 3); x.roll(1, 2); x.roll((1, -2), (2, 3)); x.roll(3); torch.rot90(x, 1, (2, 3));
x.gather(1, (3 * x).to(torch.int64)); x.take_along_dim((3 * x).to(torch.int64), 1);
torch.take(x, torch.tensor([3, 1])); x.masked_fill(s > 0, -1.0); x.movedim(1, 3);
torch.zeros(4, 6).scatter(1, (5 * x[0, 0, :4, :6]).to(torch.int64), s[0, 0, :4, :6] * 0 + 2);
x.swapaxes(1, 2); x.scatter(1, torch.zeros(1, 1, 6, 8, dtype=torch.int64), 9.0);
x.scatter_add(1, torch.zeros_like(x, dtype=torch.int64), s);
x.index_add(1, torch.tensor([0, 2]), s[:, :2]); x.index_fill(1, torch.tensor([0, 2]), 5.0);
x.index_copy(1, torch.tensor([0, 2]), s[:, :2]);
x.index_put((torch.tensor([0]), torch.tensor([2])), s[0, 0]); x.slice_scatter(s[:, 1:3], 1, 1, 3);
x.select_scatter(s[:, 0], 1, 2); F.pad(x, (1, 2)); F.pad(x, (1, 2, 0, 3), value=0.5);
F.pad(x, (1, 1, 2, 2), 'reflect'); F.pad(x, (1, 1, 2, 2), 'replicate'); F.pad(x, (1, 1, 2, 2), 'circular');
F.pad(x, (-1, -2)); F.pad(x, (2, -1, -1, 3)); F.pad(x, (0, 0, 0, 0, 1, 2)); x.unfold(3, 3, 2);
F.unfold(x, 3); F.unfold(x, 3, 2, 1, 2); F.fold(x.reshape(1, 16, 12), (4, 5), 2); F.pixel_shuffle(x, 2);
F.pixel_unshuffle(x, 2); F.channel_shuffle(x, 2); torch.tril(x); torch.triu(x, 1);
torch.diagonal(x, 0, 2, 3); torch.diag(x[0, 0, 0]); torch.diag_embed(x); torch.arange(8) * x;
torch.linspace(0, 1, 8) * x; torch.eye(8)[:6] * x; torch.full((1, 1, 6, 8), 2.5) * x;
torch.zeros_like(x) + s; torch.ones(8) + x; torch.full_like(x, 3) * s; x.new_zeros(1, 4, 6, 8) + s;
torch.meshgrid(x[0, 0, 0], x[0, 1, 0], indexing='ij')[0];
F.one_hot((3 * x).to(torch.int64).clamp(0, 3), 4).float(); torch.bucketize(x, torch.tensor([0.2, 0.5]));
torch.searchsorted(torch.tensor([0.2, 0.5]), x); torch.broadcast_to(x[:, :1], (1, 3, 6, 8)) * 1;
torch.atleast_3d(x); x.as_strided((2, 3), (1, 5)); x.contiguous();
torch.cartesian_prod(x[0, 0, 0], x[0, 0, 1]); x.expand_as(torch.cat([x] * 1)) + 0;
torch.block_diag(x[0, 0], x[0, 1]); torch.tril_indices(3, 3).float() * x[0, 0, 0, 0]
"""
RESIZES = """\
F.interpolate(x, scale_factor=2); F.interpolate(x, scale_factor=1.5); F.interpolate(x, (4, 3));
F.interpolate(x, (9, 9), mode='nearest-exact'); F.interpolate(x, scale_factor=2, mode='bilinear');
F.interpolate(x, (9, 13), mode='bilinear', align_corners=True);
F.interpolate(x, scale_factor=0.6, mode='bilinear');
F.interpolate(x, (4, 5), mode='bilinear', antialias=True); F.interpolate(x, (9, 13), mode='bicubic');
F.interpolate(x, (9, 13), mode='bicubic', align_corners=True);
F.interpolate(x, (4, 5), mode='bicubic', antialias=True); F.interpolate(x, (3, 4), mode='area');
F.interpolate(x.flatten(2), 20); F.interpolate(x.flatten(2), 20, mode='linear');
F.interpolate(x[:, None], (6, 9, 9)); F.interpolate(x[:, None], (6, 9, 9), mode='trilinear');
F.interpolate(x, scale_factor=1.7, mode='bilinear', recompute_scale_factor=True);
F.interpolate(x, scale_factor=(2, 1.3), mode='nearest');
F.grid_sample(x, 2 * x[:, :2].permute(0, 2, 3, 1) - 1);
F.grid_sample(x, 3 * x[:, :2].permute(0, 2, 3, 1) - 1, padding_mode='border');
F.grid_sample(x, 3 * x[:, :2].permute(0, 2, 3, 1) - 1, mode='nearest', align_corners=True);
F.grid_sample(x, 3 * x[:, :2].permute(0, 2, 3, 1) - 1, padding_mode='reflection');
F.grid_sample(x, 3 * x[:, :2].permute(0, 2, 3, 1) - 1, mode='bicubic');
F.affine_grid(x[0, 0, :2, :3][None], (1, 4, 5, 7))
"""


def forms() -> Iterator[tuple[str, str, nn.Module]]:
    """Yield the operator, the form and the network of every form, seeded."""
    torch.manual_seed(3)
    yield from _layers()
    texts = (POOLS, ACTIVATIONS, ELEMENTS, REDUCTIONS, PRODUCTS, SHAPES, RESIZES)
    for code in split(*texts):
        compute = eval(f"lambda x, s: {code}", {"torch": torch, "F": nn.functional})  # noqa: S307  # text of this module
        yield listed_under(code), code, Form(lambda image, compute=compute: compute(image, _signed(image)))


def judged(network: nn.Module) -> Outcome:
    """Return what comes of a form that PyTorch itself can export and run."""
    warnings.simplefilter("ignore")
    given = torch.from_numpy(image(SHAPE))
    network = Form(lambda image, layer: layer(image), network) if not isinstance(network, Form) else network
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        network.eval()
        expected = network(given.clone()).numpy()
        path = Path(folder, "net.pt2")
        torch.export.save(torch.export.export(network, (given.clone(),)), path)
        try:
            model = PyTorch().load(path)
        except InputError as error:
            return of_refusal(error, path)
        except Exception as error:  # a bug, to be told
            return of_error(error)
    return of_numbers(model, given.numpy(), expected)


def number(place: int) -> Outcome:
    """Return what comes of the form in a place of the list."""
    torch.set_num_threads(1)
    return judged(next(network for n, (_, _, network) in enumerate(forms()) if n == place))


if __name__ == "__main__":
    raise SystemExit(main(__doc__, PAGE, INTRODUCTION, [(name, form) for name, form, _ in forms()], number))
