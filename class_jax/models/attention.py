"""Cross-level attention (paper §3.2): position attention and channel attention.

Energies and softmaxes are float32 whatever the compute dtype: a channel energy is a sum over
thousands of positions, and bfloat16 would keep two or three digits of it.
"""

import jax
import jax.numpy as jnp
from flax import nnx

from class_jax.models.layers import conv, upsample


@jax.checkpoint
def position_attention(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Eq. 1 and 2: each high-level position gathers from all low-level positions.

    S(i, j) = softmax_j(f_h^i · f_l^j), f'_h(i) = Σ_j S(i, j) f̂_l(j); no 1/√d.

    S is quadratic in the image's area and the largest array of the network. It is computed again
    for the backward pass (`jax.checkpoint`), so that no copy waits for that.

    Args:
      query: [B, N_h, D], from the high level.
      key: [B, N_l, D], from the low level.
      value: [B, N_l, C], from the low level.

    Returns:
      [B, N_h, C], in the dtype of `value`.
    """
    energy = jnp.einsum("bid,bjd->bij", query, key, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(energy, axis=-1).astype(value.dtype)
    return jnp.einsum("bij,bjc->bic", weights, value)


def channel_attention(low: jax.Array, high: jax.Array, *, prefer_unlike: bool = False) -> jax.Array:
    """Eq. 4 and 5: each low-level channel gathers from all high-level channels.

    Z(i, j) = softmax_j(f_L^i · f_H^j), f'_L(i) = Σ_j Z(i, j) f_H(j); the dot product runs over
    the N positions.

    Args:
      low: [B, N, C_l].
      high: [B, N, C_h], resized to the low level's positions.
      prefer_unlike: as the authors' released network, replace each energy by what it lacks to its
        row's largest, so that the least similar channels weigh most.

    Returns:
      [B, N, C_l], in the dtype of `high`.
    """
    energy = jnp.einsum("bni,bnj->bij", low, high, preferred_element_type=jnp.float32)
    if prefer_unlike:
        energy = energy.max(axis=-1, keepdims=True) - energy
    weights = jax.nn.softmax(energy, axis=-1).astype(high.dtype)
    return jnp.einsum("bij,bnj->bni", weights, high)


def flatten_positions(x: jax.Array) -> jax.Array:
    """[B, H, W, C] → [B, H·W, C]."""
    return x.reshape(x.shape[0], -1, x.shape[-1])


def misread(x: jax.Array) -> jax.Array:
    """[B, N, C] → [B, N, C], the values in memory taken for those of an array [B, C, N].

    The authors' released network does this to the result of position attention (a `view` where a
    transposition was due), which mixes positions with channels. Its weights were trained so, and
    mean nothing without it.
    """
    batch, positions, channels = x.shape
    return x.reshape(batch, channels, positions).transpose(0, 2, 1)


class PositionAttention(nnx.Module):
    """Refines the high level by the low level's positions."""

    def __init__(
        self,
        features: int,
        *,
        query_features: int,
        misread_output: bool,
        dtype: jnp.dtype,
        rngs: nnx.Rngs,
    ) -> None:
        """Channels C of both levels, channels of queries and keys; and see `misread`."""
        self.misread_output = misread_output
        self.query = conv(features, query_features, 1, use_bias=True, dtype=dtype, rngs=rngs)
        self.key = conv(features, query_features, 1, use_bias=True, dtype=dtype, rngs=rngs)
        self.value = conv(features, features, 1, use_bias=True, dtype=dtype, rngs=rngs)
        # Starts switched off: the network learns how much of it it wants.
        self.alpha = nnx.Param(jnp.zeros((), jnp.float32))

    def __call__(self, high: jax.Array, low: jax.Array) -> jax.Array:
        """Eq. 3: F_h_out = α·f'_h + F_h, of the shape of `high`, [B, H_h, W_h, C]."""
        with jax.named_scope("position_attention"):
            gathered = position_attention(
                flatten_positions(self.query(high)),
                flatten_positions(self.key(low)),
                flatten_positions(self.value(low)),
            )
            gathered = misread(gathered) if self.misread_output else gathered
            return self.alpha[...].astype(high.dtype) * gathered.reshape(high.shape) + high


class ChannelAttention(nnx.Module):
    """Refines the low level by the high level's channels."""

    def __init__(self, *, prefer_unlike: bool) -> None:
        """`prefer_unlike`: see `channel_attention`."""
        self.prefer_unlike = prefer_unlike
        self.beta = nnx.Param(jnp.zeros((), jnp.float32))  # starts switched off

    def __call__(self, high: jax.Array, low: jax.Array) -> jax.Array:
        """Eq. 6: F_l_out = β·f'_L + F_l, of the shape of `low`, [B, H_l, W_l, C]."""
        with jax.named_scope("channel_attention"):
            resized = upsample(high, low.shape[1], low.shape[2])
            mixed = channel_attention(
                flatten_positions(low),
                flatten_positions(resized),
                prefer_unlike=self.prefer_unlike,
            )
            return self.beta[...].astype(low.dtype) * mixed.reshape(low.shape) + low
