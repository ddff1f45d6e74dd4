"""Checks the configuration of a Keras model, which names the Python objects that Keras would make of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mutatenn import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")
"""Classes that hold code, or pickles, or name files that do."""
VALUES = (
    "__keras_tensor__",
    "__tensor__",
    "__numpy__",
    "__slice__",
    "__ellipsis__",
    "__tuple__",
    "TensorShape",
)
"""What numbers are written as."""
LAYERS = """
    Functional Model Sequential InputLayer Input Activation ELU LeakyReLU PReLU ReLU Softmax Identity Masking
    ActivityRegularization AlphaDropout Dropout GaussianDropout GaussianNoise SpatialDropout2D
    Dense EinsumDense Embedding Conv1D Conv2D Conv1DTranspose Conv2DTranspose DepthwiseConv1D DepthwiseConv2D
    SeparableConv1D SeparableConv2D BatchNormalization GroupNormalization LayerNormalization Normalization
    RMSNormalization UnitNormalization SpectralNormalization Rescaling Resizing CenterCrop
    AveragePooling1D AveragePooling2D MaxPooling1D MaxPooling2D GlobalAveragePooling1D GlobalAveragePooling2D
    GlobalMaxPooling1D GlobalMaxPooling2D AdaptiveAveragePooling2D AdaptiveMaxPooling2D
    ZeroPadding1D ZeroPadding2D Cropping1D Cropping2D UpSampling1D UpSampling2D Flatten Reshape Permute
    RepeatVector Add Subtract Multiply Average Maximum Minimum Concatenate Dot
    Attention AdditiveAttention MultiHeadAttention GroupQueryAttention TimeDistributed
    Pipeline RandomBrightness RandomColorJitter RandomContrast RandomCrop RandomErasing RandomFlip
    RandomGrayscale RandomHeight RandomHue RandomRotation RandomSaturation RandomSharpness RandomShear
    RandomTranslation RandomWidth RandomZoom
"""
"""Layers that compute, or that do nothing at inference: none takes code or reads a file."""
SETTINGS = """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform IdentityInitializer LecunNormal LecunUniform Ones
    Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    L1 L2 L1L2 OrthogonalRegularizer MaxNorm MinMaxNorm NonNeg UnitNorm DTypePolicy InputSpec
"""
"""What layers are set up with: initialisers, regularisers and constraints for training, and types."""
FUNCTIONS = """
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign
    sparse_plus sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
"""
"""Activations."""
MODULES = """
    keras keras.layers keras.models keras.initializers keras.regularizers keras.constraints
    keras.src.models.functional keras.src.models.sequential keras.src.models.model
    keras.src.engine.functional keras.src.engine.sequential keras.src.engine.training
"""
"""Where Keras, and Keras 2, have all these."""
APPLICATIONS = (
    "keras.src.applications.convnext:LayerScale",
    "keras.src.applications.inception_resnet_v2:CustomScaleLayer",
)
"""Layers that a few models of ``keras.applications`` have of their own."""
CLASSES = frozenset(f"{LAYERS} {SETTINGS}".split())
OPERATIONS = frozenset(f"keras.src.ops.{name}" for name in ("numpy", "nn", "image"))
"""Modules of what arithmetic on a layer's output becomes."""


def check(config: Any) -> Any:
    """Return a model's parsed configuration without what is for training alone.

    Raises InputError for objects that are not known to be harmless: code, custom ones, and whatever else of
    Keras that is not for inference on images.
    """
    if not isinstance(config, dict) or config.get("class_name") not in ("Functional", "Model", "Sequential"):
        name = config.get("class_name") if isinstance(config, dict) else None
        if isinstance(name, str):
            raise _custom(name)
        raise InputError("has no configuration of a model in it; save the whole model with model.save")
    config = _without_training(config)
    for found in _objects(config):
        _check_object(found)
    return config


def _without_training(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_training(value) for key, value in tree.items() if key != "compile_config"}
    return [_without_training(value) for value in tree] if isinstance(tree, list) else tree


def _objects(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield every description of an object, at any depth."""
    if isinstance(tree, dict):
        if "class_name" in tree:
            yield tree
        for value in tree.values():
            yield from _objects(value)
    elif isinstance(tree, list):
        for value in tree:
            yield from _objects(value)


def _check_object(found: dict[str, Any]) -> None:
    name, module, registered = str(found["class_name"]), found.get("module"), found.get("registered_name")
    if name in CODE:
        raise InputError(
            f"holds code ({name}), which is never run; save the model with standard layers in its place"
        )
    if name == "function":
        name = str(found.get("config"))
        known = name in FUNCTIONS.split() and (
            module in (None, "builtins") or str(module).startswith("keras.")
        )
    else:
        known = name in VALUES or (name in CLASSES and (module is None or module in MODULES.split()))
        known = known or module in OPERATIONS or f"{module}:{name}" in APPLICATIONS
    if not known or registered not in (None, name, "function"):
        raise _custom(registered if isinstance(registered, str) and ">" in registered else name)


def _custom(name: Any) -> InputError:
    return InputError(
        f"uses {str(name)[:80]!r}, which is custom, or not a layer that only computes; save the model with "
        "standard layers, or convert it to ONNX where it was made"
    )
