"""How the models of ``keras.applications`` want their images."""

from __future__ import annotations

from typing import Any

# The models of keras.applications by what their documentation wants of images; all others take 0 to 255.
SIGNED = {"mean": 127.5, "std": 127.5}
CAFFE = {"mean": [103.939, 116.779, 123.68], "std": 1.0, "channels": "BGR"}
TORCH = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
RAW = {"mean": 0.0, "std": 1.0}
APPLICATIONS: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("MobileNet", "MobileNetV2", "InceptionV3", "InceptionResNetV2", "Xception"), SIGNED),
    **dict.fromkeys(("ResNet50V2", "ResNet101V2", "ResNet152V2", "NASNetMobile", "NASNetLarge"), SIGNED),
    **dict.fromkeys(("VGG16", "VGG19", "ResNet50", "ResNet101", "ResNet152"), CAFFE),
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201"), TORCH),
    **dict.fromkeys((f"EfficientNetB{size}" for size in range(8)), RAW),
    **dict.fromkeys((f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")), RAW),
    **dict.fromkeys((f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")), RAW),
    **dict.fromkeys(("MobileNetV3Small", "MobileNetV3Large"), RAW),
}
