"""Makes the models of the tests with Keras, and says what is made of them: ``python`` this, with a folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from mutatenn import InputError
from mutatenn_frontends._keras import model as keras_model

layers, ops = keras.layers, keras.ops
STRONG = keras.initializers.RandomNormal(stddev=0.5, seed=3)
"""Makes scores that differ from image to image."""
RANDOM = np.random.default_rng(3)


def randomize(model: Any) -> Any:
    """Give batch normalisations statistics worth the name."""
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            low = [0.5, -0.5, -0.5, 0.5][-len(layer.get_weights()) :]
            layer.set_weights(
                [RANDOM.uniform(at, 1.5, w.shape) for at, w in zip(low, layer.get_weights(), strict=True)]
            )
    return model


def stem(image: Any, filters: int = 8) -> Any:
    found = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, kernel_initializer=STRONG)(
        image
    )
    return layers.BatchNormalization()(found)


def net() -> Any:
    """Return a classifier of digits, not trained, with the layers of MobileNets."""
    image = keras.Input((8, 8, 1))
    found = layers.ReLU(max_value=6)(stem(image))
    deep = layers.DepthwiseConv2D(3, padding="same")(found)
    deep = layers.BatchNormalization(scale=False)(deep)
    found = layers.Add()([found, layers.Activation("relu")(deep)])
    found = layers.Dropout(0.5)(layers.Flatten()(layers.MaxPooling2D()(found)))
    model = keras.Model(image, layers.Dense(10, activation="softmax", kernel_initializer=STRONG)(found))
    model.compile("adam", "sparse_categorical_crossentropy")
    return randomize(model)


def rich() -> Any:
    """Return what converters are known to stumble on: swish, GELU, groups, reshapes, arithmetic."""
    image = keras.Input((8, 8, 3))
    found = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 1.0, 2.0])(layers.Rescaling(2.0)(image))
    found = layers.Activation("swish")(stem(layers.ZeroPadding2D(((0, 1), (1, 0)))(found)))
    found = layers.Conv2D(8, 3, groups=2, padding="same", activation="gelu")(found)
    gate = layers.Reshape((1, 1, 8))(layers.GlobalAveragePooling2D()(found))
    found = layers.Multiply()([found, layers.Conv2D(8, 1, activation="hard_sigmoid")(gate)])
    shared = layers.BatchNormalization()
    found = shared(shared(found))
    found = layers.Concatenate()([found * 0.5 + found[:, :, -2:-1], ops.relu(found)])
    inner = keras.Input((5, 5, 16))
    nested = keras.Model(inner, layers.BatchNormalization()(layers.SeparableConv2D(8, 3)(inner)))
    found = layers.GlobalAveragePooling2D()(layers.LayerNormalization()(randomize(nested)(found)))
    return randomize(keras.Model(image, layers.Dense(5)(found)))


def heads() -> Any:
    """Return logits, probabilities and one probability, of images of any size."""
    image = keras.Input((None, None, 3))
    features = layers.GlobalAveragePooling2D()(stem(image))
    many = layers.Dense(5, name="logits", kernel_initializer=STRONG)(features)
    one = layers.Dense(1, "sigmoid", name="one", kernel_initializer=STRONG)(features)
    return randomize(keras.Model(image, [many, layers.Softmax(name="shares")(many), one]))


def row() -> Any:
    return keras.Sequential(
        [keras.Input((8, 8, 1)), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(5)]
    )


def flat(*shape: int | None, dtype: str = "float32", batch: int | None = None) -> Any:
    image = keras.Input(shape, batch_size=batch, dtype=dtype)
    return keras.Model(image, layers.Flatten()(image))


def two() -> Any:
    one, other = keras.Input((8, 8, 3), name="one"), keras.Input((8, 8, 3), name="other")
    return keras.Model([one, other], layers.Flatten()(layers.Add()([one, other])))


def forked() -> Any:
    image = keras.Input((8, 8, 3))
    return keras.Model(image, [layers.Flatten()(image), layers.GlobalMaxPooling2D()(image)])


def pixels() -> Any:
    image = keras.Input((8, 8, 3))
    return keras.Model(image, layers.Conv2D(2, 3)(image))


UNFIT: dict[str, Callable[[], Any]] = {
    "two images": two,
    "several outputs": forked,
    "no image": lambda: flat(64),
    "bytes": lambda: flat(8, 8, 3, dtype="int32"),
    "free size": lambda: keras.Sequential([keras.Input((None, None, 3)), layers.GlobalMaxPooling2D()]),
    "fixed batch": lambda: flat(8, 8, 3, batch=4),
    "no scores": pixels,
}


def unfit(model: Any) -> str:
    try:
        keras_model.image(model, ()), keras_model.with_scores(model, "")
    except InputError as error:
        return str(error)
    return ""


def main(folder: Path) -> None:
    keras.utils.set_random_seed(3)
    for name, model in (("net", net()), ("rich", rich()), ("row", row())):
        images = RANDOM.uniform(-1, 1, (3, *model.inputs[0].shape[1:])).astype(np.float32)
        np.savez(folder / f"{name}.npz", images=images, scores=model.predict(images, verbose=0))
        model.save(folder / f"{name}.keras")
        model.save(folder / f"{name}.h5")
        model.save_weights(folder / f"{name}.weights.h5")
    open_model, images = heads(), RANDOM.uniform(-1, 1, (3, 9, 8, 3)).astype(np.float32)
    open_model.save(folder / "heads.keras")
    found = dict(zip(open_model.output_names, open_model.predict(images, verbose=0), strict=True))
    np.savez(folder / "heads.npz", images=images, **found)
    keras.Sequential(
        [keras.Input((3, 8, 8)), layers.Conv2D(2, 3, data_format="channels_first"), layers.Flatten()]
    ).save(folder / "first.keras")
    coded = keras.Sequential([keras.Input((8, 8, 3)), layers.Lambda(lambda x: x * 2), layers.Flatten()])
    coded.save(folder / "coded.keras")
    coded.save(folder / "coded.h5")
    answers = {name: unfit(make()) for name, make in UNFIT.items()}
    (folder / "unfit.json").write_text(json.dumps(answers))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
