"""AlexNet and ShuffleNetV2 written with torch.nn, untrained, for the table of routes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

torch: Any = import_module("torch")
nn: Any = torch.nn
STAGES = ((116, 4), (232, 8), (464, 4))
"""The channels and units of each stage of ShuffleNetV2 at a width of 1.0."""


def alexnet(classes: int) -> Any:
    """Return AlexNet with one tower (Krizhevsky, 2014), for images of 63 or more pixels a side."""
    layers: list[Any] = []
    for given, made, size, stride, pad, pooled in (
        (3, 64, 11, 4, 2, True),
        (64, 192, 5, 1, 2, True),
        (192, 384, 3, 1, 1, False),
        (384, 256, 3, 1, 1, False),
        (256, 256, 3, 1, 1, True),
    ):
        layers += [nn.Conv2d(given, made, size, stride, pad), nn.ReLU(inplace=True)]
        layers += [nn.MaxPool2d(3, 2)] if pooled else []
    layers += [nn.AdaptiveAvgPool2d(6), nn.Flatten()]
    for given in (256 * 6 * 6, 4096):
        layers += [nn.Dropout(), nn.Linear(given, 4096), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(4096, classes))


def shufflenet(classes: int) -> Any:
    """Return ShuffleNetV2 (Ma et al., 2018) at a width of 1.0."""
    layers, given = [*_convolution(3, 24, 3, stride=2), nn.MaxPool2d(3, 2, padding=1)], 24
    for made, units in STAGES:
        layers += [Unit(given, made, 2), *(Unit(made, made, 1) for _ in range(units - 1))]
        given = made
    layers += [*_convolution(given, 1024, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(1024, classes))


class Unit(nn.Module):  # type: ignore[misc]  # PyTorch is not there when types are checked
    """Works on half of the channels, or on all twice where it halves the image; shuffles the two halves."""

    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        half = made // 2
        self.split = stride == 1
        entering = half if self.split else given
        self.left = nn.Identity() if self.split else nn.Sequential(*_separable(given, half, stride))
        self.right = nn.Sequential(*_convolution(entering, half, 1), *_separable(half, half, stride))

    def forward(self, image: Any) -> Any:
        """Return the channels of both branches in turn."""
        left, right = image.chunk(2, dim=1) if self.split else (image, image)
        both = torch.cat((self.left(left), self.right(right)), dim=1)
        batch, channels, height, width = both.shape
        pairs = both.view(batch, 2, channels // 2, height, width).transpose(1, 2).contiguous()
        return pairs.view(batch, channels, height, width)


def _convolution(given: int, made: int, size: int, stride: int = 1) -> list[Any]:
    layer = nn.Conv2d(given, made, size, stride, size // 2, bias=False)
    return [layer, nn.BatchNorm2d(made), nn.ReLU(inplace=True)]


def _separable(given: int, made: int, stride: int) -> list[Any]:
    layer = nn.Conv2d(given, given, 3, stride, 1, groups=given, bias=False)
    return [layer, nn.BatchNorm2d(given), *_convolution(given, made, 1)]


MODELS = {"AlexNet": alexnet, "ShuffleNetV2": shufflenet}


def export(name: str, images: NDArray[np.float32], classes: int, folder: Path) -> Path:
    """Export a network whose outputs differ among the images, float32 ``[images, 3, height, width]``."""
    torch.manual_seed(3)
    model, given = MODELS[name](classes), torch.from_numpy(images)
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # keeps the spread of what passes
        elif isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0  # so that one batch decides on the statistics
            nn.init.uniform_(layer.weight, 0.7, 1.4)
            nn.init.normal_(layer.bias, std=0.2)
    with torch.no_grad():
        model(given)
        last = model.eval()[-1]
        last.weight /= model(given).std(dim=0).mean()
    path = folder / f"{name}.pt2"
    torch.export.save(torch.export.export(model, (given[:1],)), path)
    return path
