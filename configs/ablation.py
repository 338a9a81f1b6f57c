"""The paper's Table 2: the contribution of losses, attentions and the fusion module.

    python main.py --config configs/ablation.py:4 --workdir runs/ablation_4

| row | losses | stages | attentions | fusion | DUTS-TE F / S / MAE in the paper |
|---|---|---|---|---|---|
| 1 | pixel | finest | none | sum | .782 / .873 / .044 |
| 2 | pixel, region | finest | none | sum | .820 / .882 / .039 |
| 3 | all | finest | none | sum | .837 / .885 / .038 |
| 4 | all | all | none | sum | |
| 5 | all | all | none | FFM | |
| 6 | all | all | channel, position | sum | .852 / .892 / .035 |
| 7 | all | all | channel | FFM | .850 / .889 / .036 |
| 8 | all | all | position | FFM | .851 / .891 / .035 |
| 9 | pixel | all | channel, position | FFM | |
| 10 | all | all | channel, position | FFM | .856 / .894 / .034 |

Without the fusion module D_l is two 3×3 conv-BN-ReLU of the sum of level l and D_{l+1}, and level 5
if position attention refines it. This is our reading: the paper does not say.
Cost: at most that of configs/r50.py.
"""

from ml_collections import ConfigDict

from configs import r50

PIXEL, REGION, ALL = ("pixel",), ("pixel", "region"), ("pixel", "region", "object")

# row: losses, all stages supervised, channel attention, position attention, fusion module
ROWS = {
    "1": (PIXEL, False, False, False, False),
    "2": (REGION, False, False, False, False),
    "3": (ALL, False, False, False, False),
    "4": (ALL, True, False, False, False),
    "5": (ALL, True, False, False, True),
    "6": (ALL, True, True, True, False),
    "7": (ALL, True, True, False, True),
    "8": (ALL, True, False, True, True),
    "9": (PIXEL, True, True, True, True),
    "10": (ALL, True, True, True, True),
}


def get_config(row: str = "10") -> ConfigDict:
    """Return row "1" to "10" of Table 2."""
    if row not in ROWS:
        raise ValueError(f"Table 2 has the rows {', '.join(ROWS)}, not {row!r}")
    losses, multi_stage, channel, position, fusion = ROWS[row]
    config = r50.get_config()
    config.train.losses = losses
    config.train.multi_stage = multi_stage
    config.model.channel_attention = channel
    config.model.position_attention = position
    config.model.fusion_module = fusion
    return config
