"""PyTorch's names of our variables: those of a backbone's own, and of the released network.

A variable is named by its path in our tree: "stages/0/fusion/weight/kernel".
"""

# Our leaves and PyTorch's.
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}
# In PyTorch's sequences the convolution is number 0, its batch norm number 1.
BLOCK = {"conv": "0", "bn": "1"}


def released_modules() -> dict[str, str]:
    """Return the released network's module for each of ours, but for the backbone's.

    Stage 0 is that of level 2. The convolutions before the attentions are numbered from level 4 to
    level 2, four to a level.
    """
    names: dict[str, str] = {}
    for index, level in enumerate((2, 3, 4, 5)):
        names |= _block(f"bridges/{index}/compress", f"squeeze{level}")
    for index, level in enumerate((2, 3, 4)):
        stage, number = f"stages/{index}", 4 * (4 - level)
        names |= {
            **_block(f"{stage}/transfer_high/first", f"extra_conv{number + 1}"),
            **_block(f"{stage}/transfer_high/second", f"extra_conv{number + 2}"),
            **_block(f"{stage}/transfer_low/first", f"extra_conv{number + 3}"),
            **_block(f"{stage}/transfer_low/second", f"extra_conv{number + 4}"),
            f"{stage}/position/query": f"PAM{level}.conv_high",
            f"{stage}/position/key": f"PAM{level}.conv_low",
            f"{stage}/position/value": f"PAM{level}.value_conv",
            **_block(f"{stage}/fusion/reduce", f"fusion{level}.reducedim"),
            **_block(f"{stage}/fusion/refine1", f"fusion{level}.conv1"),
            f"{stage}/fusion/refine2": f"fusion{level}.conv2",
            f"{stage}/fusion/weight": f"fusion{level}.conv3",
            **_block(f"{stage}/fusion/decode/first", f"decoder{level}_conv1"),
            **_block(f"{stage}/fusion/decode/second", f"decoder{level}_conv2"),
        }
    names |= _block("last/first", "extra_conv17") | _block("last/second", "extra_conv18")
    for index, number in enumerate((1, 3, 4, 5)):
        names[f"heads/{index}"] = f"supervision{number}"
    return names


def released_scalars() -> dict[str, str]:
    """Return the released network's name for each of our attention scales."""
    names = {}
    for index, level in enumerate((2, 3, 4)):
        names[f"stages/{index}/position/alpha"] = f"PAM{level}.gamma"
        names[f"stages/{index}/channel/beta"] = f"CAM{level}.gamma"
    return names


def _block(ours: str, theirs: str) -> dict[str, str]:
    """Return the names of a convolution and its batch norm."""
    return {f"{ours}/{part}": f"{theirs}.{number}" for part, number in BLOCK.items()}
