"""Cutting a Piper voice (VITS, Kim et al. 2021) where its sound can be made piece by piece.

A voice is one graph: a text encoder with a duration predictor, a flow, and a HiFi-GAN decoder
(Kong et al. 2020). The last two are convolutions over frames of 256 samples, so a window of
frames gives the same samples as the whole, provided that enough frames stand on each side. How
many is worked out from the kernels. Nothing depends on the names of nodes, except that the flow
is looked for under ``/flow``; a voice without it is cut once, at the decoder.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

_FLOW_PREFIX = "/flow/"


class UncuttableError(Exception):
    """The graph is not of the shape that can be cut; the voice is then used whole."""


@dataclass(frozen=True)
class Layout:
    """How the parts of a cut voice fit together."""

    hop_samples: int
    """Samples that one frame becomes."""
    decoder_frames: str
    """The decoder's input of shape ``(1, channels, frames)``."""
    decoder_context: int
    """Frames that the decoder must see on each side of those whose samples are used."""
    flow_context: int
    """The same for the flow; 0 where the voice has no part of its own for it."""


@dataclass(frozen=True)
class CutVoice:
    """The parts of a voice, as serialised ONNX models."""

    layout: Layout
    encoder: bytes
    flow: bytes | None
    decoder: bytes


def cut(path: Path, *, with_flow: bool) -> CutVoice:
    """Cut the voice at ``path``; ``UncuttableError`` says why that is not possible.

    Needs the ``onnx`` package (``ImportError`` without it).
    """
    import onnx.shape_inference
    from onnx.utils import Extractor

    try:
        # The parts' inputs need a type, which a voice does not always name for what is inside.
        model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
        graph = _Graph(model)
        layout, frames_node = graph.layout()
        decoder_inputs = graph.decoder_inputs(frames_node)
        flow_inputs = graph.flow_inputs(layout.decoder_frames) if with_flow else ()
        if flow_inputs:
            layout = replace(
                layout, flow_context=math.ceil(graph.radius(flow_inputs, layout.decoder_frames)[0])
            )
        extractor = Extractor(model)
        rest = [name for name in decoder_inputs if name != layout.decoder_frames]
        wanted = (*flow_inputs, *rest) if flow_inputs else decoder_inputs
        inputs = [node.name for node in model.graph.input]
        outputs = [model.graph.output[0].name]

        def part(from_: Iterable[str], to: Iterable[str]) -> bytes:
            data: bytes = extractor.extract_model(list(from_), list(to)).SerializeToString()
            return data

        return CutVoice(
            layout,
            encoder=part(inputs, dict.fromkeys(wanted)),
            flow=part(flow_inputs, [layout.decoder_frames]) if flow_inputs else None,
            decoder=part(decoder_inputs, outputs),
        )
    except (KeyError, IndexError, ValueError, RuntimeError) as exc:
        raise UncuttableError(f"{type(exc).__name__}: {exc}") from exc


class _Graph:
    """A model's nodes with the ways between them."""

    def __init__(self, model: ModelProto) -> None:
        self._nodes: list[NodeProto] = list(model.graph.node)
        self._weights = {weight.name for weight in model.graph.initializer}
        self._maker = {name: node for node in self._nodes for name in node.output}
        self._output = model.graph.output[0].name

    def layout(self) -> tuple[Layout, NodeProto]:
        """Find the decoder: what leads up to the first transposed convolution."""
        first = next((node for node in self._nodes if node.op_type == "ConvTranspose"), None)
        if first is None:
            raise UncuttableError("there is no transposed convolution in it")
        entry = max(self._convolutions_before(first), key=lambda node: _attribute(node)[0])
        frames = entry.input[0]
        context, hop = self.radius([frames], self._output)
        return Layout(hop, frames, math.ceil(context), flow_context=0), entry

    def decoder_inputs(self, entry: NodeProto) -> tuple[str, ...]:
        """Return what the decoder takes: the frames and, of some voices, the speaker."""
        after = self._nodes_after({entry.input[0]})
        return tuple(dict.fromkeys((entry.input[0], *self._crossing(after, entry.input[0]))))

    def flow_inputs(self, frames: str) -> tuple[str, ...]:
        """Return what the flow takes; nothing where there is no flow to be seen."""
        own = {name for node in self._nodes if self._is_flow(node) for name in node.output}
        before = self._nodes_before(frames)
        inside = [node for node in self._nodes_after(own) if id(node) in before]
        inside += [node for node in self._nodes if self._is_flow(node) and id(node) in before]
        return tuple(dict.fromkeys(self._crossing(inside))) if own else ()

    def radius(self, sources: Iterable[str], target: str) -> tuple[float, int]:
        """Return how far, in frames of ``sources``, a value of ``target`` looks to each side.

        The second figure is the number of values of ``target`` for each frame.
        """
        reach: dict[str, tuple[float, int]] = dict.fromkeys(sources, (0.0, 1))
        for node in self._nodes:  # in topological order, as ONNX demands
            seen = [reach[name] for name in node.input if name in reach]
            if not seen:
                continue
            context, rate = max(seen)
            if node.op_type in ("Conv", "ConvTranspose"):
                kernel, dilation, stride = _attribute(node)
                width = (kernel - 1) * dilation
                if node.op_type == "Conv":
                    context += width / 2 / rate
                else:
                    context += width / 2 / stride / rate
                    rate *= stride
            for name in node.output:
                reach.setdefault(name, (context, rate))
            if target in node.output:
                return reach[target]
        raise UncuttableError(f"{target} does not come from {', '.join(sources)}")

    @staticmethod
    def _is_flow(node: NodeProto) -> bool:
        return node.name.startswith(_FLOW_PREFIX)

    def _convolutions_before(self, node: NodeProto) -> list[NodeProto]:
        """Return the convolutions whose sum, through element-wise nodes, is the node's input."""
        found, stack = [], [node.input[0]]
        while stack:
            maker = self._maker.get(stack.pop())
            if maker is None:
                continue
            if maker.op_type == "Conv":
                found.append(maker)
            elif maker.op_type in ("LeakyRelu", "Add"):
                stack += maker.input
        if not found:
            raise UncuttableError("no convolution leads up to the first transposed one")
        return found

    def _nodes_after(self, names: set[str]) -> list[NodeProto]:
        known, after = set(names), []
        for node in self._nodes:
            if any(name in known for name in node.input):
                after.append(node)
                known.update(node.output)
        return after

    def _nodes_before(self, name: str) -> set[int]:
        before: set[int] = set()
        stack = [name]
        while stack:
            maker = self._maker.get(stack.pop())
            if maker is not None and id(maker) not in before:
                before.add(id(maker))
                stack += maker.input
        return before

    def _crossing(self, inside: Iterable[NodeProto], *ours: str) -> list[str]:
        """Return the tensors that ``inside`` takes from outside: no weights, no constants."""
        nodes = list(inside)
        made = {name for node in nodes for name in node.output} | set(ours)
        crossing = []
        for node in nodes:
            for name in node.input:
                outside = bool(name) and name not in made and name not in self._weights
                if outside and not self._is_constant(name):
                    crossing.append(name)
        return crossing

    def _is_constant(self, name: str) -> bool:
        """Whether the tensor depends on no input: it is copied into the part that uses it."""
        makers = self._nodes_before(name)
        by_id = {id(node): node for node in self._nodes}
        return bool(makers) and all(
            source in self._maker or source in self._weights or not source
            for key in makers
            for source in by_id[key].input
        )


def _attribute(node: Any) -> tuple[int, int, int]:
    """Return kernel size, dilation and stride of a one-dimensional convolution."""
    values: defaultdict[str, list[int]] = defaultdict(lambda: [1])
    for attribute in node.attribute:
        if attribute.name in ("kernel_shape", "dilations", "strides"):
            values[attribute.name] = list(attribute.ints)
    return values["kernel_shape"][0], values["dilations"][0], values["strides"][0]
