"""One process of TensorFlow for all tests: it makes their models, and answers what a frontend asks."""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from mutatenn import InputError
from mutatenn_frontends._tensorflow.convert import respond

v1 = tf.compat.v1
IMAGE = tf.TensorSpec([None, 8, 8, 3], tf.float32, "image")
RANDOM = np.random.default_rng(3)


def weight(*shape: int) -> Any:
    return tf.Variable(RANDOM.standard_normal(shape).astype(np.float32))


def save(folder: str, *specs: Any, name: str = "scores", module: Any = None, **outputs: Any) -> None:
    """Save a function, or several of one input, under the names of their outputs."""
    module = tf.Module() if module is None else module

    def compute(*inputs: Any) -> dict[str, Any]:
        return {key: function(*inputs) for key, function in outputs.items()}

    module.compute = tf.function(compute, input_signature=specs or [IMAGE])
    tf.saved_model.save(module, folder, signatures=module.compute)


class Net(tf.Module):
    """A convolution, a depthwise one, batch normalisations, a residual addition, a mean, a dense layer."""

    def __init__(self, fused: bool = True) -> None:
        super().__init__()
        self.kernel, self.depthwise = weight(3, 3, 3, 8), weight(3, 3, 8, 1)
        self.dense, self.bias, self.fused = weight(8, 5), weight(5), fused
        self.norms = [
            [tf.Variable(RANDOM.uniform(0.5, 1.5, 8).astype(np.float32)) for _ in range(4)] for _ in range(2)
        ]

    def norm(self, data: Any, number: int) -> Any:
        scale, offset, mean, variance = self.norms[number]
        if self.fused:
            return v1.nn.fused_batch_norm(data, scale, offset, mean, variance, is_training=False)[0]
        return tf.nn.batch_normalization(data, mean, variance, offset, scale, 1e-3)

    def features(self, image: Any) -> Any:
        first = tf.nn.relu(self.norm(tf.nn.conv2d(image, self.kernel, 1, "SAME"), 0))
        second = tf.nn.depthwise_conv2d(first, self.depthwise, [1, 1, 1, 1], "SAME")
        return first + tf.nn.relu6(self.norm(second, 1))

    def logits(self, image: Any) -> Any:
        pooled = tf.reduce_mean(self.features(image), [1, 2])
        return tf.nn.bias_add(tf.matmul(pooled, self.dense), self.bias)

    def scores(self, image: Any) -> Any:
        return tf.nn.softmax(self.logits(image))


def saved_model(folder: str) -> None:
    net = Net()
    save(folder, module=net, scores=net.scores)


def unfused(folder: str) -> None:
    net = Net(fused=False)
    save(folder, module=net, scores=net.scores)


def norm(data: Any, scale: Any) -> Any:
    mean, variance, offset = map(tf.constant, ([0.1, -0.2, 0.3], [1.0, 2.0, 3.0], [0.3, 0.2, 0.1]))
    return tf.nn.batch_normalization(data, mean, variance, offset, scale, 1e-3)


def norm_without_scale(folder: str) -> None:
    save(folder, scores=lambda image: mean(tf.nn.relu(norm(image, None))))


def norm_of_features(folder: str) -> None:
    save(folder, scores=lambda image: norm(mean(image), [1.0, 0.5, 2.0]))


def frozen(folder: str) -> None:
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    net = Net()
    function = tf.function(net.scores, input_signature=[IMAGE]).get_concrete_function()
    write(folder, convert_variables_to_constants_v2(function).graph.as_graph_def())


def write(folder: str, definition: Any) -> None:
    Path(folder).mkdir()
    Path(folder, "net.pb").write_bytes(definition.SerializeToString())


def first_generation(folder: str) -> None:
    """A SavedModel as TensorFlow 1 wrote it, with a learning phase that defaults to inference."""
    v1.disable_control_flow_v2()
    with tf.Graph().as_default(), v1.Session() as session:
        image = v1.placeholder(tf.float32, [None, 8, 8, 3], "image")
        training = v1.placeholder_with_default(False, [], "training")
        v1.disable_resource_variables()
        kernel = v1.get_variable("kernel", [3, 3, 3, 5], initializer=v1.random_normal_initializer(seed=1))
        data = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(image, kernel, 1, "SAME")), [1, 2])
        v1.enable_resource_variables()
        dropped = v1.cond(training, lambda: data * 2.0, lambda: data)
        session.run(v1.global_variables_initializer())
        v1.saved_model.simple_save(session, folder, {"image": image}, {"scores": dropped})


def not_frozen(folder: str) -> None:
    with tf.Graph().as_default() as graph:
        image = v1.placeholder(tf.float32, [None, 8, 8, 3], "image")
        kernel = v1.get_variable("kernel", [3, 3, 3, 5])
        tf.reduce_mean(tf.nn.conv2d(image, kernel, 1, "SAME"), [1, 2], name="scores")
        write(folder, graph.as_graph_def())


def mean(image: Any) -> Any:
    return tf.reduce_mean(image, [1, 2])


def without_signature(folder: str) -> None:
    module = tf.Module()
    module.compute = tf.function(mean)
    tf.saved_model.save(module, folder)


def several_signatures(folder: str) -> None:
    module = tf.Module()
    first = tf.function(lambda image: {"scores": mean(image)}, input_signature=[IMAGE])
    second = tf.function(lambda image: {"scores": mean(image) * 2.0}, input_signature=[IMAGE])
    tf.saved_model.save(module, folder, signatures={"plain": first, "double": second})


def without_variables(folder: str) -> None:
    save(folder, scores=mean)


def training_graph(folder: str) -> None:
    v1_builder = v1.saved_model.Builder(folder)
    with tf.Graph().as_default(), v1.Session() as session:
        tf.identity(v1.placeholder(tf.float32, [None, 8, 8, 3], "image"))
        v1_builder.add_meta_graph_and_variables(session, ["train"])
    v1_builder.save()


def two_images(folder: str) -> None:
    other = tf.TensorSpec([None, 8, 8, 3], tf.float32, "other")
    save(folder, IMAGE, other, scores=lambda image, more: mean(image) + mean(more))


def two_heads(folder: str) -> None:
    net = Net()
    save(folder, module=net, scores=net.scores, logits=net.logits)


def features_too(folder: str) -> None:
    net = Net()
    save(folder, module=net, features=net.features, scores=net.scores)


def segmentation(folder: str) -> None:
    save(folder, scores=tf.nn.relu)


def label(folder: str) -> None:
    save(folder, scores=lambda image: tf.argmax(mean(image), 1))


def image_of(folder: str, shape: list[int | None], dtype: str) -> None:
    spec = tf.TensorSpec(shape, dtype, "image")
    save(folder, spec, scores=lambda image: tf.reduce_mean(tf.cast(image, tf.float32), [1, 2]))


def uint8_image(folder: str) -> None:
    image_of(folder, [None, 8, 8, 3], "uint8")


def integers(folder: str) -> None:
    image_of(folder, [None, 8, 8, 3], "int64")


def any_size(folder: str) -> None:
    image_of(folder, [None, None, None, 3], "float32")


def one_score(folder: str) -> None:
    spec = tf.TensorSpec([None, None, None, 3], tf.float32, "image")
    save(folder, spec, scores=lambda image: tf.sigmoid(tf.reduce_sum(mean(image), 1)))


def batch_of_eight(folder: str) -> None:
    image_of(folder, [8, 8, 8, 3], "float32")


def vectors(folder: str) -> None:
    save(folder, tf.TensorSpec([None, 3], tf.float32, "x"), scores=tf.identity)


def without_input(folder: str) -> None:
    with tf.Graph().as_default() as graph:
        tf.nn.softmax(tf.ones([1, 5]), name="scores")
        write(folder, graph.as_graph_def())


def python(folder: str) -> None:
    save(folder, scores=lambda image: mean(tf.numpy_function(abs, [image], tf.float32)))


def writes(folder: str) -> None:
    """A file is written each time the model runs, from inside a function of a function."""

    @tf.function
    def inner(image: Any) -> Any:
        tf.io.write_file(f"{folder}.written", "text")
        return mean(image)

    save(
        folder,
        scores=lambda image: tf.cond(tf.reduce_any(image > 0), lambda: inner(image), lambda: mean(image)),
    )


def reads(folder: str) -> None:
    save(
        folder,
        scores=lambda image: mean(image) + float(0) * tf.strings.to_number(tf.io.read_file("/etc/hostname")),
    )


def dropout(folder: str) -> None:
    save(folder, scores=lambda image: tf.nn.dropout(mean(image), 0.5))


def writes_when_restored(folder: str) -> None:
    """The restore function also writes a file."""
    net = Net()
    save(folder, module=net, scores=net.scores)
    saved = read_saved(folder)
    (meta,) = saved.meta_graphs
    (restore,) = (each for each in meta.graph_def.library.function if "restore" in each.signature.name)
    text = restore.node_def.add(name="text", op="Const")
    text.attr["dtype"].type = tf.string.as_datatype_enum
    text.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(f"{folder}.written"))
    write = restore.node_def.add(name="write", op="WriteFile", input=["text:output:0", "text:output:0"])
    restore.control_ret["write"] = write.name
    Path(folder, "saved_model.pb").write_bytes(saved.SerializeToString())


def writes_aside(folder: str) -> None:
    """A function of the file that no signature calls writes a file."""
    net = Net()

    def aside() -> None:
        tf.io.write_file(f"{folder}.written", "text")

    net.aside = tf.function(aside, input_signature=[])
    save(folder, module=net, scores=net.scores)


def not_for_onnx(folder: str) -> None:
    save(folder, scores=lambda image: mean(tf.math.erfc(image)))


def not_for_tflite(folder: str) -> None:
    save(folder, scores=lambda image: mean(tf.math.erf(image)))


def restores_too_little(folder: str) -> None:
    saved_model(folder)
    saved = read_saved(folder)
    (restore,) = (
        each for each in saved.meta_graphs[0].graph_def.library.function if "restore" in each.signature.name
    )
    for node in restore.node_def:
        node.op = node.op.replace("AssignVariableOp", "NoOp")
        if node.op == "NoOp":
            node.input[:] = [name for name in node.input if name.startswith("^")]
            node.attr.clear()
    Path(folder, "saved_model.pb").write_bytes(saved.SerializeToString())


def asserts(folder: str) -> None:
    def compute(image: Any) -> Any:
        with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(image > 2.0), [image])]):
            return mean(image)

    save(folder, scores=compute)


def custom_operator(folder: str) -> None:
    without_variables(folder)
    saved = read_saved(folder)
    for function in saved.meta_graphs[0].graph_def.library.function:
        for node in function.node_def:
            node.op = node.op.replace("Mean", "BlurredMean")
    Path(folder, "saved_model.pb").write_bytes(saved.SerializeToString())


def read_saved(folder: str) -> Any:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    return SavedModel.FromString(Path(folder, "saved_model.pb").read_bytes())


def missing_node(folder: str) -> None:
    with tf.Graph().as_default() as graph:
        tf.nn.relu(v1.placeholder(tf.float32, [None, 8, 8, 3], "image"), name="scores")
        definition = graph.as_graph_def()
    del definition.node[0]
    write(folder, definition)


def decodes(folder: str) -> None:
    """A frozen graph that takes a JPEG file, and whose image is a tensor on the way."""
    with tf.Graph().as_default() as graph:
        content = v1.placeholder(tf.string, [], "file")
        pixels = tf.image.decode_jpeg(content, 3)
        image = tf.ensure_shape(tf.expand_dims(tf.cast(pixels, tf.float32), 0), [1, 8, 8, 3], name="pixels")
        tf.reduce_mean(image, [1, 2], name="scores")
        write(folder, graph.as_graph_def())


def cut_in_the_middle(folder: str) -> None:
    with tf.Graph().as_default() as graph:
        image = v1.placeholder(tf.float32, [None, 8, 8, 3], "image")
        tf.reduce_mean(tf.square(image / 255.0 - 0.5, name="scaled"), [1, 2], name="scores")
        write(folder, graph.as_graph_def())


def answer(request: dict[str, Any], payload: bytes) -> tuple[dict[str, Any], bytes]:
    try:
        if "make" in request:
            globals()[request["make"]](request["folder"])
            return {}, b""
        return respond(request, payload)
    except InputError as error:
        return {"error": str(error)}, b""
    except Exception:
        return {"bug": traceback.format_exc()}, b""


def main() -> None:
    """Answer requests, each a line of JSON and so many bytes, until there are no more."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    logging.disable(logging.CRITICAL)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        payload = sys.stdin.buffer.read(request.pop("bytes"))
        if (child := os.fork()) == 0:  # TensorFlow keeps functions of every graph it saw, by their names
            found, content = answer(request, payload)
            answers.write(json.dumps({**found, "bytes": len(content)}).encode() + b"\n" + content)
            answers.flush()
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
