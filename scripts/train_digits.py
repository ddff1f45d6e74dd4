"""Train the bundled digit classifier and write it, its test images and their README.

Usage:
    pip install torch==2.13.0 scikit-learn onnx onnxruntime pillow numpy
    python scripts/train_digits.py [--out core/mutatenn/data]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from sklearn.datasets import load_digits  # type: ignore[import-untyped]
from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]
from torch import Tensor, nn
from torch.nn import functional

SEED = 20240
HELD_OUT = 450
IMAGES_PER_CLASS = 20
CLASSES = 10
EPOCHS = 60
BATCH = 64
PEAK_LEARNING_RATE = 4e-3
WEIGHT_DECAY = 0.02
LABEL_SMOOTHING = 0.05
NOISE = 0.1
DROPOUT = 0.2
MIN_ACCURACY = 0.97
TOLERANCE = 1e-5
OPSET = 17
IR_VERSION = 8
DEFAULT_OUT = Path(__file__).resolve().parent.parent / "core" / "mutatenn" / "data"

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
PixelArray = npt.NDArray[np.uint8]

README = """\
# The bundled digit classifier

`digits.onnx` is a small convolutional network that recognises handwritten digits, and
`digits/` holds {images} images it was not trained on, {per_class} of each digit.

## The model

| | |
|---|---|
| Input | `image`, float32, `[batch, 1, 8, 8]` |
| Input values | (p - 127.5) / 127.5 for a greyscale pixel p, 0 to 255 |
| Output | `probabilities`, float32, `[batch, 10]`: one probability for each digit, 0 to 9 |
| Format | ONNX, opset {opset}, float32; batch normalisation is kept as nodes of its own |
| Parameters | {parameters} |
| Accuracy, all {held_out} held-out images | {accuracy:.2%} ({correct} right) |
| Accuracy, the {images} images in `digits/` | {png_accuracy:.2%} ({png_correct} right) |

The accuracies were measured with ONNX Runtime on the CPU. The split is random within each digit,
so images by one writer can be on both sides of it.

## The images

`digits/C_NNNN.png` is an 8x8 8-bit greyscale image: C is the digit it shows, and NNNN its index
in scikit-learn's `load_digits()`. The data set's values x, 0 to 16, are stored as
round(x * 255 / 16). The images are the first {per_class} of each digit among the held-out
ones; they were not chosen by what the model makes of them.

## Source and licence of the data

The images come from scikit-learn's `sklearn.datasets.load_digits`, a copy of the test set of
Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, by E. Alpaydin and
C. Kaynak (1998), <https://doi.org/10.24432/C50P49>. That data set is licensed under Creative
Commons Attribution 4.0 International (CC BY 4.0),
<https://creativecommons.org/licenses/by/4.0/>. The one change made here is the scaling of the
values to 8-bit pixels.

## How to regenerate

From the root of the repository:

```sh
pip install torch==2.13.0 scikit-learn onnx onnxruntime pillow numpy
python scripts/train_digits.py
```

This trains the network on one CPU core in about a minute or less and rewrites everything in this
folder, this file included. Seeds are fixed: on one machine, with the same versions of the
packages, the files come out identical. On another processor the weights can differ slightly.
"""


@dataclass(frozen=True)
class Split:
    """One side of the data: network inputs, their classes and indices in load_digits."""

    pixels: PixelArray
    labels: IntArray
    indices: IntArray

    @property
    def inputs(self) -> Tensor:
        """The images as the network takes them."""
        return torch.from_numpy(to_input(self.pixels))


@dataclass(frozen=True)
class Score:
    """How many images of how many were classified correctly."""

    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        """The share of the images that were classified correctly."""
        return self.correct / self.total

    def __str__(self) -> str:
        """Return the accuracy and the counts behind it."""
        return f"{self.accuracy:.4f} ({self.correct} of {self.total})"


class ConvBn(nn.Module):
    """A convolution without bias, followed by batch normalisation."""

    def __init__(self, cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        """Make the layers; padding keeps the image size when the stride is 1."""
        super().__init__()
        padding = kernel // 2
        self.conv = nn.Conv2d(cin, cout, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(cout)

    def forward(self, x: Tensor) -> Tensor:
        """Apply both layers."""
        y: Tensor = self.bn(self.conv(x))
        return y


class Residual(nn.Module):
    """A depthwise and a 1x1 convolution whose result is added to their input."""

    def __init__(self, channels: int) -> None:
        """Make the layers."""
        super().__init__()
        self.depthwise = ConvBn(channels, channels, 3, groups=channels)
        self.pointwise = ConvBn(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers and the addition."""
        y: Tensor = self.pointwise(functional.relu(self.depthwise(x)))
        return functional.relu(x + y)


class DigitNet(nn.Module):
    """The classifier: three plain blocks, two residual blocks and a dense layer."""

    def __init__(self) -> None:
        """Make the layers."""
        super().__init__()
        self.block1 = ConvBn(1, 32, 3)
        self.block2 = Residual(32)
        self.block3 = ConvBn(32, 64, 3)
        self.block4 = Residual(64)
        self.block5 = ConvBn(64, 64, 3, stride=2)
        self.dense = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of a batch of images."""
        x = self.block2(functional.relu(self.block1(x)))
        x = functional.max_pool2d(x, 2)
        x = self.block4(functional.relu(self.block3(x)))
        x = functional.relu(self.block5(x)).mean(dim=(2, 3))
        logits: Tensor = self.dense(functional.dropout(x, DROPOUT, self.training))
        return logits


class GraphBuilder:
    """Collects the nodes and initializers of an ONNX graph."""

    def __init__(self) -> None:
        """Start with an empty graph."""
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def weight(self, name: str, value: Tensor) -> str:
        """Add an initializer and return its name."""
        array = value.detach().numpy().astype(np.float32)
        self.initializers.append(numpy_helper.from_array(array, name))
        return name

    def node(
        self,
        op: str,
        name: str,
        inputs: list[str],
        output: str = "",
        **attributes: Any,
    ) -> str:
        """Add a node and return the name of its output, which is its own name by default."""
        output = output or name
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def conv(self, name: str, layer: nn.Conv2d, x: str) -> str:
        """Add a convolution."""
        (kernel, _), (stride, _), pad = layer.kernel_size, layer.stride, layer.kernel_size[0] // 2
        return self.node(
            "Conv",
            name,
            [x, self.weight(f"{name}/weight", layer.weight)],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
            dilations=[1, 1],
            group=layer.groups,
        )

    def batch_norm(self, name: str, layer: nn.BatchNorm2d, x: str) -> str:
        """Add a batch normalisation in its inference form."""
        if layer.running_mean is None or layer.running_var is None:
            raise ValueError(f"{name} has no running statistics")
        inputs = [
            x,
            self.weight(f"{name}/scale", layer.weight),
            self.weight(f"{name}/bias", layer.bias),
            self.weight(f"{name}/mean", layer.running_mean),
            self.weight(f"{name}/var", layer.running_var),
        ]
        return self.node("BatchNormalization", name, inputs, epsilon=layer.eps)

    def conv_bn(self, prefix: str, block: ConvBn, x: str, suffix: str = "") -> str:
        """Add a convolution and its batch normalisation."""
        x = self.conv(f"{prefix}/conv{suffix}", block.conv, x)
        return self.batch_norm(f"{prefix}/bn{suffix}", block.bn, x)

    def plain(self, prefix: str, block: ConvBn, x: str) -> str:
        """Add a convolution, its batch normalisation and a relu."""
        return self.node("Relu", f"{prefix}/relu", [self.conv_bn(prefix, block, x)])

    def residual(self, prefix: str, block: Residual, x: str) -> str:
        """Add a residual block."""
        y = self.conv_bn(prefix, block.depthwise, x, "_depthwise")
        y = self.node("Relu", f"{prefix}/relu_depthwise", [y])
        y = self.conv_bn(prefix, block.pointwise, y, "_pointwise")
        y = self.node("Add", f"{prefix}/add", [x, y])
        return self.node("Relu", f"{prefix}/relu", [y])

    def head(self, dense: nn.Linear, x: str) -> str:
        """Add the layers from the last feature map to the probabilities."""
        x = self.node("GlobalAveragePool", "head/global_pool", [x])
        x = self.node("Flatten", "head/flatten", [x], axis=1)
        weight = self.weight("head/dense/weight", dense.weight)
        bias = self.weight("head/dense/bias", dense.bias)
        x = self.node("Gemm", "head/dense", [x, weight, bias], transB=1)
        return self.node("Softmax", "head/softmax", [x], output="probabilities", axis=1)


def to_input(pixels: PixelArray) -> FloatArray:
    """Turn 8-bit images [N,8,8] into network inputs [N,1,8,8]."""
    return ((pixels.astype(np.float32) - 127.5) / 127.5).astype(np.float32)[:, None]


def load_splits() -> tuple[Split, Split]:
    """Return the images to train on and the held-out ones, stratified by class."""
    digits = load_digits()
    pixels = np.rint(digits.images * 255 / 16).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    train, held_out = train_test_split(
        np.arange(len(labels)), test_size=HELD_OUT, stratify=labels, random_state=SEED
    )
    first, second = (Split(pixels[i], labels[i], i) for i in (np.sort(train), np.sort(held_out)))
    return first, second


def augment(images: Tensor) -> Tensor:
    """Shift each image by at most one pixel each way, and add a little noise."""
    count, _, height, width = images.shape
    steps = torch.tensor([0, 1, 1, 2])
    padded = functional.pad(images, (1, 1, 1, 1), value=-1.0)
    rows = steps[torch.randint(4, (count, 1))] + torch.arange(height)
    columns = steps[torch.randint(4, (count, 1))] + torch.arange(width)
    batch = torch.arange(count)[:, None, None]
    shifted = padded[batch, 0, rows[:, :, None], columns[:, None, :]][:, None]
    return shifted + NOISE * torch.randn_like(shifted)


def train_network(data: Split) -> DigitNet:
    """Train a network on the images and return it in inference mode."""
    net = DigitNet()
    inputs, labels = data.inputs, torch.from_numpy(data.labels)
    steps = len(labels) // BATCH
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        PEAK_LEARNING_RATE,
        total_steps=EPOCHS * steps,
    )
    for epoch in range(EPOCHS):
        order, total = torch.randperm(len(labels)), 0.0
        for batch in order[: steps * BATCH].view(steps, BATCH):
            logits = net(augment(inputs[batch]))
            loss = functional.cross_entropy(logits, labels[batch], label_smoothing=LABEL_SMOOTHING)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        if (epoch + 1) % 10 == 0:
            print(f"epoch {epoch + 1}: training loss {total / steps:.4f}")
    return net.eval()


def torch_probabilities(net: DigitNet, inputs: FloatArray) -> FloatArray:
    """Return the trained network's probabilities."""
    with torch.no_grad():
        probabilities: FloatArray = net(torch.from_numpy(inputs)).softmax(dim=1).numpy()
    return probabilities


def score(probabilities: FloatArray, labels: IntArray) -> Score:
    """Count the images whose most probable class is the right one."""
    return Score(int((probabilities.argmax(axis=1) == labels).sum()), len(labels))


def build_graph(net: DigitNet) -> onnx.GraphProto:
    """Describe the trained network as an ONNX graph."""
    builder = GraphBuilder()
    x = builder.plain("block1", net.block1, "image")
    x = builder.residual("block2", net.block2, x)
    x = builder.node("MaxPool", "pool", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = builder.plain("block3", net.block3, x)
    x = builder.residual("block4", net.block4, x)
    x = builder.plain("block5", net.block5, x)
    output = builder.head(net.dense, x)
    return helper.make_graph(
        builder.nodes,
        "digits",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", CLASSES])],
        builder.initializers,
    )


def build_model(net: DigitNet, held_out: Score) -> onnx.ModelProto:
    """Return the checked ONNX model, with metadata on where it comes from."""
    model = helper.make_model(
        build_graph(net),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="mutatenn",
        ir_version=IR_VERSION,
    )
    metadata = {
        "trained_by": "scripts/train_digits.py",
        "training_data": "scikit-learn load_digits (UCI Optical Recognition of Handwritten Digits)",
        "held_out_accuracy": str(held_out),
        "input": "greyscale pixel p (0..255) as (p - 127.5) / 127.5",
    }
    helper.set_model_props(model, metadata)
    onnx.checker.check_model(model, full_check=True)
    return model


def write_images(held_out: Split, folder: Path) -> None:
    """Replace the folder's images by the first held-out ones of each class."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("[0-9]_[0-9][0-9][0-9][0-9].png"):
        stale.unlink()
    for label in range(CLASSES):
        for i in np.flatnonzero(held_out.labels == label)[:IMAGES_PER_CLASS]:
            path = folder / f"{label}_{held_out.indices[i]:04d}.png"
            Image.fromarray(held_out.pixels[i]).save(path, optimize=True)


def read_images(folder: Path) -> Split:
    """Read the images back, with the class and index that each file name gives."""
    paths = sorted(folder.glob("*.png"))
    pixels: list[PixelArray] = []
    for path in paths:
        with Image.open(path) as image:
            if image.mode != "L":
                raise SystemExit(f"{path.name} is not an 8-bit greyscale image")
            pixels.append(np.asarray(image, dtype=np.uint8))
    names = np.array([path.stem.split("_") for path in paths]).astype(np.int64)
    return Split(np.stack(pixels), names[:, 0], names[:, 1])


def verify(model_path: Path, net: DigitNet, data: Split) -> Score:
    """Score the written model, after checking that it agrees with the trained network."""
    session = onnxruntime.InferenceSession(model_path, providers=["CPUExecutionProvider"])
    inputs = to_input(data.pixels)
    expected = torch_probabilities(net, inputs)
    together: FloatArray = session.run(["probabilities"], {"image": inputs})[0]
    singly = np.concatenate([session.run(None, {"image": one[None]})[0] for one in inputs])
    difference = max(float(np.abs(got - expected).max()) for got in (together, singly))
    print(f"largest difference between onnxruntime and torch: {difference:.2e}")
    if difference > TOLERANCE:
        raise SystemExit(f"the written model differs from the trained one by {difference:.2e}")
    return score(together, data.labels)


def check_images(images: Split, held_out: Split) -> None:
    """Check that the images read back are the intended ones, bit for bit."""
    at = np.searchsorted(held_out.indices, images.indices)
    same = np.array_equal(held_out.indices[at], images.indices)
    same = same and np.array_equal(held_out.labels[at], images.labels)
    if not (same and np.array_equal(held_out.pixels[at], images.pixels)):
        raise SystemExit("the images read back differ from those written")
    if np.bincount(images.labels).tolist() != [IMAGES_PER_CLASS] * CLASSES:
        raise SystemExit(f"not every class has {IMAGES_PER_CLASS} images")


def write_readme(path: Path, net: DigitNet, held_out: Score, images: Score) -> None:
    """Write the description of the files, with the measured accuracies."""
    text = README.format(
        opset=OPSET,
        parameters=f"{count_parameters(net):,}",
        per_class=IMAGES_PER_CLASS,
        held_out=held_out.total,
        accuracy=held_out.accuracy,
        correct=held_out.correct,
        images=images.total,
        png_accuracy=images.accuracy,
        png_correct=images.correct,
    )
    path.write_text(text, encoding="utf-8", newline="\n")


def count_parameters(net: DigitNet) -> int:
    """Return the number of trained parameters, without running statistics."""
    return sum(parameter.numel() for parameter in net.parameters())


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train the bundled digit classifier.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="the folder to write to")
    return parser.parse_args()


def main() -> None:
    """Train, check and write the model, its images and their README."""
    out: Path = parse_arguments().out
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(SEED)
    train, held_out = load_splits()
    net = train_network(train)
    measured = score(torch_probabilities(net, to_input(held_out.pixels)), held_out.labels)
    if measured.accuracy < MIN_ACCURACY:
        raise SystemExit(f"held-out accuracy {measured} is below {MIN_ACCURACY}")
    write_images(held_out, out / "digits")
    model_path = out / "digits.onnx"
    model_path.write_bytes(build_model(net, measured).SerializeToString(deterministic=True))
    images = read_images(out / "digits")
    check_images(images, held_out)
    all_score, image_score = (verify(model_path, net, data) for data in (held_out, images))
    if all_score != measured:
        raise SystemExit(f"onnxruntime scores {all_score}, torch {measured}")
    write_readme(out / "README.md", net, all_score, image_score)
    print(f"{count_parameters(net)} parameters")
    print(f"accuracy on the held-out images: {all_score}")
    print(f"accuracy on the written images: {image_score}")


if __name__ == "__main__":
    main()
