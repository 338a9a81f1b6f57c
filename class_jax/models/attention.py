"""Cross-level attention (paper §3.2): position attention and channel attention.

Energies and softmaxes are float32 whatever the compute dtype: a channel energy is a sum over
thousands of positions, and bfloat16 would keep two or three digits of it.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models.layers import Conv, multiply_pixels, softmax, upsample, zeros


@jax.checkpoint
def position_attention(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Gather, for every high-level position, from all low-level positions (eq. 1 and 2).

    S(i, j) = softmax_j(f_h^i · f_l^j), f'_h(i) = Σ_j S(i, j) f̂_l(j); no 1/√d.

    S is quadratic in the image's area and the largest array of the network. It is computed again in
    the backward pass (`jax.checkpoint`) rather than kept.

    Args:
      query: [B, N_h, D], from the high level.
      key: [B, N_l, D], from the low level.
      value: [B, N_l, C], from the low level.

    Returns:
      [B, N_h, C], in the dtype of `value`.
    """
    weights = position_weights(query, key).astype(value.dtype)
    return jnp.einsum("bij,bjc->bic", weights, value)


def position_weights(query: jax.Array, key: jax.Array) -> jax.Array:
    """Return S(i, j) = softmax_j(f_h^i · f_l^j) (eq. 1), float32 [B, N_h, N_l]."""
    energy = jnp.einsum("bid,bjd->bij", query, key, preferred_element_type=jnp.float32)
    return softmax(energy)


def channel_attention(low: jax.Array, high: jax.Array, *, prefer_unlike: bool = False) -> jax.Array:
    """Gather, for every low-level channel, from all high-level channels (eq. 4 and 5).

    Z(i, j) = softmax_j(f_L^i · f_H^j), f'_L(i) = Σ_j Z(i, j) f_H(j); the dot product runs over
    the N positions.

    Args:
      low: [B, N, C_l].
      high: [B, N, C_h], resized to the low level's positions.
      prefer_unlike: as in the authors' released network, replace an energy by the largest of its
        row minus that energy, so that the least similar channels weigh most.

    Returns:
      [B, N, C_l], in the dtype of `high`.
    """
    weights = channel_weights(low, high, prefer_unlike=prefer_unlike).astype(high.dtype)
    return jnp.einsum("bij,bnj->bni", weights, high)


def channel_weights(low: jax.Array, high: jax.Array, *, prefer_unlike: bool = False) -> jax.Array:
    """Return Z(i, j) = softmax_j(f_L^i · f_H^j) (eq. 4), float32 [B, C_l, C_h]."""
    energy = jnp.einsum("bni,bnj->bij", low, high, preferred_element_type=jnp.float32)
    if prefer_unlike:
        energy = energy.max(axis=-1, keepdims=True) - energy
    return softmax(energy)


def flatten_positions(x: jax.Array) -> jax.Array:
    """Reshape [B, H, W, C] to [B, H·W, C]."""
    return x.reshape(x.shape[0], -1, x.shape[-1])


def misread(x: jax.Array) -> jax.Array:
    """Read the memory of [B, N, C] as an array [B, C, N]; return that as [B, N, C].

    The authors' released network does this to the result of position attention (a `view` instead
    of a transposition), which mixes positions with channels. Its weights were trained with it.
    """
    batch, positions, channels = x.shape
    return x.reshape(batch, channels, positions).transpose(0, 2, 1)


class PositionAttention(nnx.Module):
    """Refines the high level by the low level's positions."""

    def __init__(self, features: int, *, query_features: int, misread_output: bool) -> None:
        """Create the layers.

        Args:
          features: channels C of both levels.
          query_features: channels of queries and keys.
          misread_output: apply `misread` to the result.
        """
        self.misread_output = misread_output
        self.query = Conv(features, query_features, 1, use_bias=True)
        self.key = Conv(features, query_features, 1, use_bias=True)
        self.value = Conv(features, features, 1, use_bias=True)
        self.alpha = nnx.Param(jnp.zeros(()), initializer=zeros)  # starts switched off

    def __call__(self, high: jax.Array, low: jax.Array) -> jax.Array:
        """Return F_h_out = α·f'_h + F_h (eq. 3), of the shape of `high`, [B, H_h, W_h, C].

        Values are linear in the low level, and each row of S sums to 1: Σ S (V f_l + v) is computed
        as V (Σ S f_l) + v, on the few positions of the high level.
        """
        with jax.named_scope("position_attention"):
            query, low = self._project(high, low)
            gathered = position_attention(query, low, low).reshape(high.shape)
            gathered = flatten_positions(self.value(gathered))
            gathered = misread(gathered) if self.misread_output else gathered
            return self.alpha[...].astype(high.dtype) * gathered.reshape(high.shape) + high

    def weights(self, high: jax.Array, low: jax.Array) -> jax.Array:
        """Return S of two levels, float32 [B, H_h·W_h, H_l·W_l]."""
        return position_weights(*self._project(high, low))

    def _project(self, high: jax.Array, low: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return queries of the high level, to be compared with the low level itself, [B, N, C].

        Keys are linear in the low level, so their kernel K is applied on the high level, too:
        q · (K f_l + k) = (Kᵀ q) · f_l + q · k, and q · k drops out of the softmax over f_l.
        """
        kernel = self.key.kernel[...][0, 0].astype(high.dtype)
        query = multiply_pixels(self.query(high), kernel.T)
        return flatten_positions(query), flatten_positions(low)


class ChannelAttention(nnx.Module):
    """Refines the low level by the high level's channels."""

    def __init__(self, *, prefer_unlike: bool) -> None:
        """Create the scale; `prefer_unlike`: see `channel_attention`."""
        self.prefer_unlike = prefer_unlike
        self.beta = nnx.Param(jnp.zeros(()), initializer=zeros)  # starts switched off

    def __call__(self, high: jax.Array, low: jax.Array) -> jax.Array:
        """Return F_l_out = β·f'_L + F_l (eq. 6), of the shape of `low`, [B, H_l, W_l, C]."""
        with jax.named_scope("channel_attention"):
            mixed = channel_attention(*_align(high, low), prefer_unlike=self.prefer_unlike)
            return self.beta[...].astype(low.dtype) * mixed.reshape(low.shape) + low

    def weights(self, high: jax.Array, low: jax.Array) -> jax.Array:
        """Return Z of two levels, float32 [B, C, C]."""
        return channel_weights(*_align(high, low), prefer_unlike=self.prefer_unlike)


def _align(high: jax.Array, low: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the low level and the high one at its positions, [B, N, C]."""
    resized = upsample(high, low.shape[1], low.shape[2])
    return flatten_positions(low), flatten_positions(resized)
