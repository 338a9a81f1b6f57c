"""The network of the authors' published checkpoint, which differs from the paper.

    python main.py convert FILE --config configs/r50_released.py --workdir runs/r
    python main.py eval FOLDER --workdir runs/r

The checkpoint is the authors' Google Drive file 1d18GHNeaR_Hg91LlNJQNL_HNkyoW-5qs, named in the
readme of github.com/luckybird1994/classnet. It carries no licence and is not ours to rehost.
Expected: the scores of the paper's Table 1 (DUTS-TE adaptive F .856, S .894, MAE .034).
Cost: 24.8 M parameters, 12.96 GMAC an image at 352 px.
"""

from ml_collections import ConfigDict

from configs import r50


def get_config() -> ConfigDict:
    """Return the paper's recipe with the released network."""
    config = r50.get_config()
    config.model.pretrained = ""  # the checkpoint holds the encoder too
    config.model.form = "released"
    return config
