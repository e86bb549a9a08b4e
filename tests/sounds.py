"""Sounds that are no speech, made on the spot: mono float32 at 16 kHz, the same for each seed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RATE = 16_000
Samples = npt.NDArray[np.float32]


def silence(seconds: float = 3.0) -> Samples:
    return np.zeros(round(seconds * RATE), dtype=np.float32)


def hum(seconds: float = 3.0, *, level: float = 0.1, hz: float = 50.0) -> Samples:
    """Mains hum with its harmonics."""
    t = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * hz * k * t) / k for k in (1, 2, 3, 5))
    return (level * np.asarray(tone)).astype(np.float32)


def white_noise(seconds: float = 3.0, *, level: float = 0.05, seed: int = 1) -> Samples:
    generator = np.random.default_rng(seed)
    return (level * generator.standard_normal(round(seconds * RATE))).astype(np.float32)


def pink_noise(seconds: float = 3.0, *, level: float = 0.05, seed: int = 1) -> Samples:
    """Noise whose power falls with the frequency, as that of rooms, fans and streets."""
    samples = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
    noise = np.fft.irfft(spectrum, samples)
    return (level * noise / noise.std()).astype(np.float32)


def music(seconds: float = 4.0, *, level: float = 0.2) -> Samples:
    """Plucked chords: C, A minor, F, G, half a second each, with harmonics that die away."""
    t = np.arange(RATE // 2) / RATE
    chords = [(262, 330, 392), (220, 262, 330), (175, 220, 262), (196, 247, 294)]
    bars = []
    for chord in chords * round(seconds / 2 + 0.5):
        notes = [np.sin(2 * np.pi * hz * k * t) / k**1.5 for hz in chord for k in range(1, 7)]
        bars.append(np.sum(notes, axis=0) * np.exp(-3 * t))
    tune = np.concatenate(bars)[: round(seconds * RATE)]
    return (level * tune / np.abs(tune).max()).astype(np.float32)


def cough(*, level: float = 0.5, seed: int = 1) -> Samples:
    """A burst of noise of a quarter of a second between silences, shaped as a cough is."""
    length = RATE // 4
    noise = np.random.default_rng(seed).standard_normal(length)
    spectrum = np.fft.rfft(noise)
    hz = np.fft.rfftfreq(length, 1 / RATE)
    spectrum *= 1 / (1 + ((hz - 900) / 700) ** 2)
    burst = np.fft.irfft(spectrum, length)
    t = np.arange(length) / RATE
    burst *= np.exp(-14 * t) * np.minimum(1, t / 0.005)
    burst = level * burst / np.abs(burst).max()
    return np.concatenate([silence(0.6), burst.astype(np.float32), silence(1.5)])


def click(*, level: float = 0.8) -> Samples:
    """A keystroke: five milliseconds."""
    tick = level * np.random.default_rng(3).uniform(-1, 1, RATE // 200)
    return np.concatenate([silence(0.6), tick.astype(np.float32), silence(1.0)])


NOISES = {
    "silence": silence,
    "hum": hum,
    "loud hum": lambda: hum(level=0.4),
    "60 Hz hum": lambda: hum(hz=60.0),
    "white noise": white_noise,
    "loud white noise": lambda: white_noise(level=0.3),
    "pink noise": pink_noise,
    "loud pink noise": lambda: pink_noise(level=0.2),
    "music": music,
    "loud music": lambda: music(level=0.8),
    "cough": cough,
    "another cough": lambda: cough(seed=5, level=0.9),
    "click": click,
}
