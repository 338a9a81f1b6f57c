"""CLASS in PyTorch, the paper's form with a ResNet: what a user would run instead.

Plain modules with our network's attribute names, so that its weights load by renaming.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from class_jax.models.network import Variables
from class_jax.weights.names import LEAVES

# Ours → PyTorch's, for the last part of a variable's name.
NAMES = {**LEAVES, "alpha": "alpha", "beta": "beta"}


def device_of_peer() -> str:
    """Return PyTorch's name of the device that JAX computes on."""
    return "cuda" if jax.default_backend() == "gpu" else "cpu"


def compile_on_gpu(network: nn.Module) -> Any:
    """Return the network, on a GPU compiled for each shape of its inputs alone."""
    if device_of_peer() == "cpu":
        return network
    torch.compiler.reset()  # else it takes another shape as a reason to compile for any
    return torch.compile(network, dynamic=False)


def conv(inputs: int, outputs: int, size: int, *, stride: int = 1, bias: bool = False) -> nn.Conv2d:
    """Create a convolution padded by half its size."""
    return nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=bias)


def upsample(x: Tensor, size: Sequence[int]) -> Tensor:
    """Resize bilinearly."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)


class ConvBnRelu(nn.Module):
    """Convolution, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        """Create a block of `outputs` channels."""
        super().__init__()
        self.conv = conv(inputs, outputs, size)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        return F.relu(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """A bottleneck block as in torchvision."""

    def __init__(self, inputs: int, width: int, *, stride: int) -> None:
        """Create a block of 4·`width` channels."""
        super().__init__()
        self.conv1, self.bn1 = conv(inputs, width, 1), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, stride=stride), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = conv(width, 4 * width, 1), nn.BatchNorm2d(4 * width)
        self.downsample = nn.Sequential()
        if stride != 1 or inputs != 4 * width:
            self.downsample.append(conv(inputs, 4 * width, 1, stride=stride))
            self.downsample.append(nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(nn.Module):
    """Levels 2–5."""

    def __init__(self, stage_sizes: Sequence[int], width: int) -> None:
        """Create the stages; ResNet-50 is (3, 4, 6, 3) and 64."""
        super().__init__()
        self.conv1, self.bn1 = conv(3, width, 7, stride=2), nn.BatchNorm2d(width)
        inputs = width
        for index, blocks in enumerate(stage_sizes):
            layers = []
            for block in range(blocks):
                stride = 2 if index and not block else 1
                layers.append(Bottleneck(inputs, width << index, stride=stride))
                inputs = 4 * width << index
            setattr(self, f"layer{index + 1}", nn.Sequential(*layers))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Apply the layers."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, stride=2, padding=1)
        levels = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            levels.append(x)
        return levels


class Bridge(nn.Module):
    """1×1 and 3×3."""

    def __init__(self, inputs: int, features: int) -> None:
        """Create both for `features` channels."""
        super().__init__()
        self.compress = ConvBnRelu(inputs, features, 1)
        self.transfer = ConvBnRelu(features, features, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers."""
        return self.transfer(self.compress(x))


class PositionAttention(nn.Module):
    """Eq. 1 to 3."""

    def __init__(self, features: int) -> None:
        """Create the layers for `features` channels."""
        super().__init__()
        self.query, self.key, self.value = (conv(features, features, 1, bias=True) for _ in "qkv")
        self.alpha = nn.Parameter(torch.zeros(()))

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Apply the layers."""
        query, key = self.query(high).flatten(2), self.key(low).flatten(2)
        weights = torch.softmax(query.transpose(1, 2) @ key, dim=-1)
        gathered = self.value(low).flatten(2) @ weights.transpose(1, 2)
        return self.alpha * gathered.view_as(high) + high


class ChannelAttention(nn.Module):
    """Eq. 4 to 6."""

    def __init__(self) -> None:
        """Without convolutions."""
        super().__init__()
        self.beta = nn.Parameter(torch.zeros(()))

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        """Apply the layers."""
        resized = upsample(high, low.shape[2:]).flatten(2)
        weights = torch.softmax(low.flatten(2) @ resized.transpose(1, 2), dim=-1)
        return self.beta * (weights @ resized).view_as(low) + low


class ConvPair(nn.Module):
    """Two 3×3 blocks."""

    def __init__(self, features: int) -> None:
        """Create the layers for `features` channels."""
        super().__init__()
        self.first, self.second = (ConvBnRelu(features, features, 3) for _ in "12")

    def forward(self, x: Tensor) -> Tensor:
        """Apply both."""
        return self.second(self.first(x))


class Fusion(nn.Module):
    """FFM, Fig. 3."""

    def __init__(self, features: int) -> None:
        """Create the layers for `features` channels."""
        super().__init__()
        self.reduce = ConvBnRelu(3 * features, features, 1)
        self.refine = ConvPair(features)
        self.weight = conv(features, 1, 1, bias=True)

    def forward(self, low: Tensor, high: Tensor, previous: Tensor) -> Tensor:
        """Apply the layers."""
        r = self.reduce(torch.cat([low, high, previous], dim=1))
        x = self.refine(r)
        return torch.sigmoid(self.weight(x)) * x + r


class Stage(nn.Module):
    """Attentions and fusion."""

    def __init__(self, features: int) -> None:
        """Create the layers for `features` channels."""
        super().__init__()
        self.position, self.channel = PositionAttention(features), ChannelAttention()
        self.fusion = Fusion(features)

    def forward(self, high: Tensor, low: Tensor, previous: Tensor) -> Tensor:
        """Apply the layers."""
        size = low.shape[2:]
        high_out, low_out = self.position(high, low), self.channel(high, low)
        return self.fusion(low_out, upsample(high_out, size), upsample(previous, size))


class TorchClass(nn.Module):
    """Images [B, 3, H, W] in, logits [4, B, H, W] out, the finest first."""

    def __init__(self, stage_sizes: Sequence[int], width: int, features: int) -> None:
        """Create the network of the same settings as ours."""
        super().__init__()
        self.encoder = ResNet(stage_sizes, width)
        self.bridges = nn.ModuleList([Bridge(4 * width << i, features) for i in range(4)])
        self.stages = nn.ModuleList([Stage(features) for _ in range(3)])
        self.heads = nn.ModuleList([conv(features, 1, 3, bias=True) for _ in range(4)])

    def forward(self, images: Tensor) -> Tensor:
        """Apply the layers."""
        levels = self.encoder(images)
        *low_levels, high = (b(level) for b, level in zip(self.bridges, levels, strict=True))
        decoded = [high]
        for stage, low in zip(reversed(self.stages), reversed(low_levels), strict=True):
            decoded.insert(0, stage(high, low, decoded[0]))
        logits = [
            upsample(head(stage).float(), images.shape[2:])[:, 0]
            for head, stage in zip(self.heads, decoded, strict=True)
        ]
        return torch.stack(logits)


def load(peer: TorchClass, variables: Variables) -> TorchClass:
    """Load the values of our network under their new names; strict both ways."""
    state = {}
    for tree in variables:
        for path, value in jax.tree_util.tree_leaves_with_path(tree):
            *parts, leaf = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
            array = np.asarray(value)
            if leaf == "kernel":
                array = array.transpose(3, 2, 0, 1)
            state[".".join((*parts, NAMES[leaf]))] = torch.tensor(array.copy())
    result: Any = peer.load_state_dict(state, strict=False)
    counters = {name for name in result.missing_keys if name.endswith("num_batches_tracked")}
    if result.unexpected_keys or set(result.missing_keys) != counters:
        raise ValueError(f"weights do not fit the PyTorch network: {result}")
    return peer
