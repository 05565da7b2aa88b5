"""What encoders look at, drawn inside the graph: the picture and the sequence of `ops.draw`."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sketchjax.data.canvas import to_pixels
from sketchjax.export.graph import Graph, Value
from sketchjax.models.architecture import Drawing

_FAR = 1e4  # px: the distance to a segment that does not exist


class Strokes(NamedTuple):
    """b drawings, cut to the t points of the longest one.

    places: f32[b t 2], x and y in drawing units.
    ends: bool[b t 1], whether a point ends its stroke.
    valid: bool[b t 1], whether a point is not padding.
    followed: bool[b t 1], whether a point is not the last one.
    length: i32[b].
    """

    places: Value
    ends: Value
    valid: Value
    followed: Value
    length: Value


def strokes_of(graph: Graph, points: Value, length: Value) -> Strokes:
    """Drawings from the inputs of the graph.

    points: u8[b t 3]; length: i32[b], at least 1.
    The padding that all of them have is cut off: a drawing takes the time that its own points need.
    """
    longest = graph.op("ReduceMax", graph.cast(length, "int64"), [0], keepdims=1)
    kept = graph.cast(graph.op("Slice", points, [0], longest, [1]), "float32")
    places = graph.op("Slice", kept, [0], [2], [2])
    ends = graph.op("Slice", kept, [2], [3], [2]) > 0.0
    steps = graph.op("Range", np.int64(0), graph.op("Squeeze", longest, [0]), np.int64(1))
    steps = graph.reshape(steps, [1, -1, 1])
    limits = graph.reshape(graph.cast(length, "int64"), [-1, 1, 1])
    return Strokes(places, ends, steps < limits, steps + np.int64(1) < limits, length)


def mirrored(strokes: Strokes) -> Strokes:
    """The mirror images, left to right, as `ops.mirror.mirrored` makes them."""
    return strokes._replace(places=strokes.places * np.array([-1, 1], np.float32))


def picture(graph: Graph, strokes: Strokes, drawing: Drawing) -> tuple[Value]:
    """Anti-aliased pictures f32[b 1 s s], as `ops.draw.rasterize` makes them."""
    size, width = drawing.size, drawing.stroke_width
    low = graph.op("ReduceMin", graph.where(strokes.valid, strokes.places, 1e9), [1], keepdims=1)
    high = graph.op("ReduceMax", graph.where(strokes.valid, strokes.places, -1e9), [1], keepdims=1)
    places = to_pixels(strokes.places, low, high, size, width)
    nearest = _smallest_squared_distance(graph, strokes, places, size)
    distance = graph.op("Sqrt", graph.op("Max", nearest, 1e-12))
    return (graph.op("Clip", (width / 2 + 0.5) - distance, 0.0, 1.0),)


def _smallest_squared_distance(graph: Graph, strokes: Strokes, places: Value, size: int) -> Value:
    """Squared distance from each pixel's centre to its nearest segment, px², f32[b 1 s s].

    places: f32[b t 2] in pixels.
    """
    # One segment per point: to the next point of its stroke, or a dot at the stroke's end.
    joined = graph.op("And", strokes.followed, graph.op("Not", strokes.ends))
    rest = graph.op("Slice", places, [1], [_LAST], [1])
    following = graph.concat([rest, graph.op("Slice", places, [-1], [_LAST], [1])], 1)
    step = graph.where(joined, following - places, 0.0)
    squared = graph.op("ReduceSum", step * step, [2], keepdims=1)
    is_long = squared > 0.0
    length = graph.op("Sqrt", graph.where(is_long, squared, 1.0))
    tangent = graph.where(is_long, step / length, np.array([1, 0], np.float32))
    tangent = graph.where(strokes.valid, tangent, 0.0)
    middle = graph.where(strokes.valid, places + step / 2.0, 0.0)
    # In coordinates along and across each segment, measured from its middle; all f32[b t 1 1].
    tx, ty = _columns(graph, tangent)
    x, y = _columns(graph, middle)
    along = 0.0 - (x * tx + y * ty)
    valid = graph.op("Unsqueeze", strokes.valid, [3])
    across = graph.where(valid, x * ty - y * tx, _FAR)
    half = graph.op("Unsqueeze", graph.where(is_long, length / 2.0, 0.0), [3])
    # Rows f32[b t s 1] and columns f32[b t 1 s] are added to pictures f32[b t s s].
    middles = np.arange(size, dtype=np.float32) + np.float32(0.5)
    columns, rows = middles.reshape(1, 1, 1, -1), middles.reshape(1, 1, -1, 1)
    beyond = graph.op("Abs", tx * columns + (ty * rows + along)) - half
    beyond = graph.relu(beyond)
    aside = (tx * rows + across) - ty * columns
    return graph.op("ReduceMin", beyond * beyond + aside * aside, [1], keepdims=1)


def sequence(graph: Graph, strokes: Strokes, drawing: Drawing) -> tuple[Value, Value]:
    """Offsets f32[t b 4] as `ops.draw.sequence` makes them, time first, and lengths i32[b]."""
    first = graph.op("Slice", strokes.places, [0], [1], [1])
    before = graph.concat([first, graph.op("Slice", strokes.places, [0], [-1], [1])], 1)
    moves = (strokes.places - before) / drawing.offset_scale
    up = graph.cast(strokes.ends, "float32")
    steps = graph.concat([moves, 1.0 - up, up], 2)
    steps = graph.where(strokes.valid, steps, 0.0)
    return graph.transpose(steps, 1, 0, 2), strokes.length


_LAST = 2**31 - 1  # the end of an axis of any size


def _columns(graph: Graph, pairs: Value) -> list[Value]:
    """The two columns of f32[b t 2], each f32[b t 1 1]."""
    parts = graph.ops("Split", 2, pairs, [1, 1], axis=2)
    return [graph.op("Unsqueeze", part, [3]) for part in parts]
