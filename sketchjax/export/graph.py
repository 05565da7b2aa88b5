"""An ONNX graph that is being written: its nodes, constants and weights as values.

Arithmetic on values adds nodes, so that what a network computes reads as it does in jax.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# The oldest that has all operators as they are used here, so that old runtimes read the files.
OPSET, IR_VERSION = 18, 8

TYPES = {
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "float32": TensorProto.FLOAT,
}


@dataclass(frozen=True)
class Value:
    """An array that the graph computes, by its name. The other operand may be a number."""

    graph: Graph
    name: str

    def __add__(self, other: Operand) -> Value:
        return self.graph.op("Add", self, other)

    def __radd__(self, other: Operand) -> Value:
        return self.graph.op("Add", other, self)

    def __sub__(self, other: Operand) -> Value:
        return self.graph.op("Sub", self, other)

    def __rsub__(self, other: Operand) -> Value:
        return self.graph.op("Sub", other, self)

    def __mul__(self, other: Operand) -> Value:
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other: Operand) -> Value:
        return self.graph.op("Div", self, other)

    def __gt__(self, other: Operand) -> Value:
        return self.graph.op("Greater", self, other)

    def __lt__(self, other: Operand) -> Value:
        return self.graph.op("Less", self, other)


# A number is float32, a list of whole numbers int64[n], as axes and shapes are; None is left out.
Operand = Value | float | list[int] | np.ndarray | np.generic | None


@dataclass
class Graph:
    """What has been written so far."""

    inputs: list[Any] = field(default_factory=list)
    outputs: list[Any] = field(default_factory=list)
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)

    def input(self, name: str, kind: str, shape: Sequence[int | str]) -> Value:
        """An input of the graph. shape: a name is a size that is known when it runs."""
        self.inputs.append(helper.make_tensor_value_info(name, TYPES[kind], shape))
        return Value(self, name)

    def output(self, name: str, value: Value, kind: str, shape: Sequence[int | str]) -> None:
        """Make a value an output of the graph."""
        self.nodes.append(helper.make_node("Identity", [value.name], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, TYPES[kind], shape))

    def op(self, kind: str, *inputs: Operand, **attributes: Any) -> Value:
        """The result of an operator of ONNX."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, count: int, *inputs: Operand, **attributes: Any) -> list[Value]:
        """The first results of an operator that has several."""
        names = [f"{kind.lower()}_{len(self.nodes)}_{number}" for number in range(count)]
        given = [self.constant(each).name if each is not None else "" for each in inputs]
        self.nodes.append(helper.make_node(kind, given, names, **attributes))
        return [Value(self, name) for name in names]

    def constant(self, operand: Operand) -> Value:
        """A number, a list of whole numbers or an array as a value."""
        if isinstance(operand, Value):
            return operand
        kind = {list: np.int64, float: np.float32}.get(type(operand))
        array = np.asarray(operand, kind)
        content = hashlib.sha256(array.tobytes()).hexdigest()[:16]
        return self._stored(f"constant_{array.dtype}_{array.shape}_{content}", array)

    def weight(self, name: str, array: np.ndarray) -> Value:
        """An array as float32; what is stored as float16 is widened when the graph is loaded."""
        stored = self._stored(name, array)
        return self.cast(stored, "float32") if array.dtype == np.float16 else stored

    def cast(self, value: Value, kind: str) -> Value:
        """The same values as another type."""
        return self.op("Cast", value, to=TYPES[kind])

    def reshape(self, value: Value, shape: list[int]) -> Value:
        """The same values in another shape; 0 keeps an axis, -1 is what is left."""
        return self.op("Reshape", value, shape)

    def transpose(self, value: Value, *axes: int) -> Value:
        """The axes in another order."""
        return self.op("Transpose", value, perm=axes)

    def concat(self, values: Sequence[Value], axis: int) -> Value:
        """Values joined along an axis."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=axis)

    def where(self, condition: Value, yes: Operand, no: Operand) -> Value:
        """One value where a condition holds, else the other."""
        return self.op("Where", condition, yes, no)

    def relu(self, value: Value) -> Value:
        """What is above 0, else 0."""
        return self.op("Relu", value)

    def model(self, name: str, metadata: Mapping[str, str]) -> bytes:
        """The graph as a file.

        name: of the graph.
        metadata: that the file carries.
        Raises ValueError where the graph is not sound.
        """
        graph = helper.make_graph(
            self.nodes, name, self.inputs, self.outputs, [*self.constants.values()]
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="sketchjax",
        )
        helper.set_model_props(model, dict(metadata))
        content = model.SerializeToString(deterministic=True)
        try:
            onnx.checker.check_model(content)
        except onnx.checker.ValidationError as error:
            raise ValueError(f"the graph is not sound: {error}") from error
        return content

    def _stored(self, name: str, array: np.ndarray) -> Value:
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return Value(self, name)
