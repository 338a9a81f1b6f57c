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
    **{f"bridges/{i}/compress": f"squeeze{i + 2}" for i in range(4)},
    **{f"heads/{i}": f"supervision{number}" for i, number in enumerate((1, 3, 4, 5))},
    "last/first": "extra_conv17",
    "last/second": "extra_conv18",
}
for stage, level, transfer in (("stages/0", 2, 9), ("stages/1", 3, 5), ("stages/2", 4, 1)):
    RELEASED |= {
        f"{stage}/transfer_high/first": f"extra_conv{transfer}",
        f"{stage}/transfer_high/second": f"extra_conv{transfer + 1}",
        f"{stage}/transfer_low/first": f"extra_conv{transfer + 2}",
        f"{stage}/transfer_low/second": f"extra_conv{transfer + 3}",
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
