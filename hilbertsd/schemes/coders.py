"""Encoders and decoders of feature maps: FT's paraphraser and translator, IE-KD's encoders."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax

from hilbertsd.nets.parametrization import Convolution, Parametrization

Array = Any

SIDE = 3
START = Parametrization("standard", weight_variance=2.0, bias_variance=0.0)
SLOPE = 0.1
"""Of the leaky ReLU between the layers."""


class Encoder(eqx.Module):
    """(B, p, H, W) ↦ (B, q, H, W): two convolutions of 3 × 3 with a leaky ReLU between them."""

    first: Convolution
    second: Convolution

    @classmethod
    def start(cls, inputs: int, outputs: int, key: Array) -> Encoder:
        """Return an encoder with q hidden channels, or p where these are more."""
        one, two = jax.random.split(key)
        hidden = max(inputs, outputs)
        return cls(
            Convolution(inputs, hidden, SIDE, START, one),
            Convolution(hidden, outputs, SIDE, START, two),
        )

    def __call__(self, maps: Array) -> Array:
        """Return the codes of a batch; they have both signs."""
        return jax.vmap(lambda a: self.second(jax.nn.leaky_relu(self.first(a), SLOPE)))(maps)


class Coder(eqx.Module):
    """An auto-encoder: an encoder, and one the other way round."""

    encode: Encoder
    decode: Encoder

    @classmethod
    def start(cls, channels: int, code: int, key: Array) -> Coder:
        """Return maps of C channels to codes of fewer, and back."""
        one, two = jax.random.split(key)
        return cls(Encoder.start(channels, code, one), Encoder.start(code, channels, two))
