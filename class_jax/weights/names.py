"""PyTorch's names of our variables: of their last parts, and of the released network's modules.

A variable is named by its path in our tree: "stages/0/fusion/weight/kernel".
"""

# The last part: ours → PyTorch's. `alpha` and `beta` are the released network's alone.
LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
    "alpha": "gamma",
    "beta": "gamma",
}
# In PyTorch's sequences the convolution is number 0, its batch norm number 1.
BLOCK = {"conv": "0", "bn": "1"}

# Modules and blocks outside the backbone: ours → the released network's.
RELEASED = {
    "bridges/0/compress": "squeeze2",
    "bridges/1/compress": "squeeze3",
    "bridges/2/compress": "squeeze4",
    "bridges/3/compress": "squeeze5",
    "stages/0/transfer_high/first": "extra_conv9",
    "stages/0/transfer_high/second": "extra_conv10",
    "stages/0/transfer_low/first": "extra_conv11",
    "stages/0/transfer_low/second": "extra_conv12",
    "stages/1/transfer_high/first": "extra_conv5",
    "stages/1/transfer_high/second": "extra_conv6",
    "stages/1/transfer_low/first": "extra_conv7",
    "stages/1/transfer_low/second": "extra_conv8",
    "stages/2/transfer_high/first": "extra_conv1",
    "stages/2/transfer_high/second": "extra_conv2",
    "stages/2/transfer_low/first": "extra_conv3",
    "stages/2/transfer_low/second": "extra_conv4",
    "last/first": "extra_conv17",
    "last/second": "extra_conv18",
    "heads/0": "supervision1",
    "heads/1": "supervision3",
    "heads/2": "supervision4",
    "heads/3": "supervision5",
}
for stage, level in (("stages/0", 2), ("stages/1", 3), ("stages/2", 4)):
    RELEASED |= {
        f"{stage}/position": f"PAM{level}",
        f"{stage}/position/query": f"PAM{level}.conv_high",
        f"{stage}/position/key": f"PAM{level}.conv_low",
        f"{stage}/position/value": f"PAM{level}.value_conv",
        f"{stage}/channel": f"CAM{level}",
        f"{stage}/fusion/reduce": f"fusion{level}.reducedim",
        f"{stage}/fusion/refine1": f"fusion{level}.conv1",
        f"{stage}/fusion/refine2": f"fusion{level}.conv2",
        f"{stage}/fusion/weight": f"fusion{level}.conv3",
        f"{stage}/fusion/decode/first": f"decoder{level}_conv1",
        f"{stage}/fusion/decode/second": f"decoder{level}_conv2",
    }


def released_name(module: str) -> str:
    """Return the released network's name of a module outside the backbone."""
    block, _, part = module.rpartition("/")
    return f"{RELEASED[block]}.{BLOCK[part]}" if part in BLOCK else RELEASED[module]
