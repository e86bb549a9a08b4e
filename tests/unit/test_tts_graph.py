"""Cutting a voice's graph: contexts from the kernels, speakers, and graphs of another shape."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from voice.tts.graph import UncuttableError, cut
from voice.tts.level import VoiceLevel, limited
from voice.tts.parts import CheckedParts, load_parts, save_parts
from voice.tts.spelling import for_espeak
from voice.tts.vits import MIN_SNR_DB, PartedGraph, WholeGraph, check
from voice.tts.windows import decoder_windows, next_flow_stop, snr_db

CHANNELS, HOP, FRAMES = 8, 8, 300


def many_speakers(path: Path) -> Path:
    """Write a small voice built as Piper's are: encoder, flow and decoder, with speakers."""
    rng = np.random.default_rng(3)
    weights = {
        "ids": (40, CHANNELS), "speakers": (4, CHANNELS), "flow.w": (CHANNELS, CHANNELS, 5),
        "flow.cond": (CHANNELS, CHANNELS, 1), "pre.w": (CHANNELS, CHANNELS, 7),
        "dec.cond": (CHANNELS, CHANNELS, 1), "up.w": (CHANNELS, CHANNELS, 16),
        "post.w": (1, CHANNELS, 7),
    }  # fmt: skip
    initializers = [
        numpy_helper.from_array((rng.standard_normal(shape) * 0.4).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    initializers.append(numpy_helper.from_array(np.array([2], dtype=np.int64), "last"))

    def conv(name: str, source: str, weight: str, out: str, width: int, dilation: int = 1):
        pad = (width - 1) // 2 * dilation
        return helper.make_node(
            "Conv", [source, weight], [out], name=name, kernel_shape=[width],
            dilations=[dilation], pads=[pad, pad], strides=[1],
        )  # fmt: skip

    nodes = [
        helper.make_node("Gather", ["speakers", "sid"], ["g0"], name="/emb"),
        helper.make_node("Unsqueeze", ["g0", "last"], ["g"], name="/Unsqueeze"),
        helper.make_node("Gather", ["ids", "input"], ["e"], name="/enc/Gather"),
        helper.make_node("Transpose", ["e"], ["z_p"], name="/enc/T", perm=[0, 2, 1]),
        conv("/flow/in", "z_p", "flow.w", "f0", 5, dilation=2),
        conv("/flow/cond", "g", "flow.cond", "f1", 1),
        helper.make_node("Add", ["f0", "f1"], ["f2"], name="Add_77"),
        helper.make_node("Tanh", ["f2"], ["f3"], name="/flow/Tanh"),
        helper.make_node("Sub", ["z_p", "f3"], ["z"], name="/flow/Sub"),
        conv("/dec/pre", "z", "pre.w", "d0", 7),
        conv("/dec/cond", "g", "dec.cond", "d1", 1),
        helper.make_node("Add", ["d0", "d1"], ["d2"], name="/dec/Add"),
        helper.make_node("LeakyRelu", ["d2"], ["d3"], name="/dec/Relu", alpha=0.1),
        helper.make_node(
            "ConvTranspose", ["d3", "up.w"], ["d4"], name="/dec/up", kernel_shape=[16],
            dilations=[1], pads=[4, 4], strides=[HOP],
        ),
        helper.make_node("LeakyRelu", ["d4"], ["d5"], name="/dec/Relu_1", alpha=0.1),
        conv("/dec/post", "d5", "post.w", "d6", 7),
        helper.make_node("Tanh", ["d6"], ["output"], name="/dec/Tanh"),
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "voice",
        [
            helper.make_tensor_value_info("input", TensorProto.INT64, [1, "phonemes"]),
            helper.make_tensor_value_info("sid", TensorProto.INT64, [1]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, "time"])],
        initializers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many_speakers(tmp_path_factory.mktemp("voice") / "voice.onnx")


def feed(speaker: int) -> dict[str, np.ndarray]:
    ids = np.random.default_rng(4).integers(0, 40, (1, FRAMES))
    return {"input": ids.astype(np.int64), "sid": np.array([speaker], dtype=np.int64)}


@pytest.mark.parametrize("with_flow", [True, False])
@pytest.mark.parametrize("speaker", [0, 3])
def test_a_voice_with_speakers_sounds_the_same_cut_and_in_windows(
    voice: Path, with_flow: bool, speaker: int
) -> None:
    parts = cut(voice, with_flow=with_flow)
    reference = next(WholeGraph(str(voice), 1).run(feed(speaker)))
    checked = check(PartedGraph(parts, 1), parts, reference, feed(speaker))
    assert min(checked.split_snr_db, checked.windowed_snr_db) >= MIN_SNR_DB
    other = next(WholeGraph(str(voice), 1).run(feed(1)))
    assert snr_db(reference, other) < 20


def test_the_context_is_what_the_kernels_reach(voice: Path) -> None:
    layout = cut(voice, with_flow=True).layout
    assert layout.flow_context == 4  # five values, two apart
    # 3 frames before the transposed convolution, 15/2/8 in it, 3/8 behind it
    assert layout.decoder_context == 5
    assert layout.hop_samples == HOP


def test_a_graph_without_a_decoder_is_left_whole(tmp_path: Path) -> None:
    node = helper.make_node("Tanh", ["input"], ["output"])
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("input", "output")
    ]
    graph = helper.make_graph([node], "none", values[:1], values[1:])
    onnx.save(helper.make_model(graph), tmp_path / "none.onnx")
    with pytest.raises(UncuttableError):
        cut(tmp_path / "none.onnx", with_flow=True)


def test_parts_are_read_back_as_they_were_written_and_damage_is_seen(
    voice: Path, tmp_path: Path
) -> None:
    checked = CheckedParts(cut(voice, with_flow=True), split_snr_db=200.0, windowed_snr_db=99.0)
    save_parts(tmp_path, "ab", checked)
    assert load_parts(tmp_path, "ab") == checked
    assert load_parts(tmp_path, "cd") is None
    for name in ("flow.onnx", "parts.json"):
        path = tmp_path / "ab" / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        assert load_parts(tmp_path, "ab") is None
        path.write_bytes(whole)
    (tmp_path / "ab" / "parts.json").unlink()
    assert load_parts(tmp_path, "ab") is None


@given(st.integers(1, 3000))
def test_windows_cover_every_frame_once_and_begin_small(frames: int) -> None:
    windows = list(decoder_windows(frames))
    assert windows[0][0] == 0
    assert windows[-1][1] == frames
    assert all(one[1] == two[0] for one, two in pairwise(windows))
    assert windows[0][1] < 32
    assert max(stop - start for start, stop in windows) < 64 + 16


@given(st.integers(1, 3000), st.integers(0, 3000))
def test_the_flow_always_gets_on_and_never_past_the_end(frames: int, done: int) -> None:
    done = min(done, frames - 1)
    needed = min(frames, done + 27)
    assert needed <= next_flow_stop(done, needed, frames) <= frames


def test_another_length_or_silence_is_no_match() -> None:
    sound = np.ones(10, np.float32)
    assert snr_db(sound, sound) > 100
    assert snr_db(sound, sound[:9]) < 0
    assert snr_db(np.zeros(10, np.float32), sound) < 0
    assert snr_db(sound, -sound) < 0


def test_loud_samples_are_bent_and_quiet_ones_untouched() -> None:
    samples = np.linspace(-3, 3, 601, dtype=np.float32)
    bent = limited(samples)
    assert np.abs(bent).max() <= 1.0
    assert np.all(np.diff(bent) >= 0)
    quiet = np.abs(samples) < 0.8
    assert np.array_equal(bent[quiet], samples[quiet])
    assert VoiceLevel.measured(np.zeros(100, np.float32)).gain == 1.0


def test_spelled_letters_are_joined_for_espeak_and_brackets_go() -> None:
    assert for_espeak("an A P I key") == "an A.P.I key"
    assert for_espeak("A cat and I") == "A cat and I"
    assert "[[" not in for_espeak("say [[h@loU]]")
    for_espeak("odd \ud800 \0 text").encode()
