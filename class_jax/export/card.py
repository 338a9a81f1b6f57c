"""The model card of an exported network: what it is, its data, terms and scores."""

from ml_collections import ConfigDict

CARD = """---
library_name: class_jax
pipeline_tag: image-segmentation
tags: [salient-object-detection, background-removal]
---

# {title}

A network for salient object detection: it maps a photograph to what stands out in it.
It is CLASS (Tang & Li, *CLASS: Cross-Level Attention and Supervision for Salient Objects
Detection*, ACCV 2020) as class_jax implements it, {parameters:,} parameters, for images of
{side}×{side} pixels.

```python
from class_jax import Predictor

predictor = Predictor.load("FOLDER")  # this folder, or hf://owner/name once it is shared
saliency = predictor.predict("photo.jpg")  # float32 [H, W] in 0–1
```

## Data

{data}

## Terms

{terms}

## Scores

{scores}
"""
UNKNOWN_TERMS = (
    "Not stated. Whoever shares these weights should say under which licence, and whether the "
    "training data allow it."
)
RELEASED_TERMS = (
    "Made from the checkpoint that the authors of the paper released, which carries no licence: "
    "it is not ours to share."
)


def write_card(
    config: ConfigDict, *, parameters: int, scores: str, is_converted: bool, examples: int | None
) -> str:
    """Return a model card in Markdown.

    Args:
      config: the configuration that the network was trained with.
      parameters: the number of its parameters.
      scores: of its validation, a sentence; "" if there was none.
      is_converted: it began as the authors' released checkpoint.
      examples: how many images it was trained on; None if that is not known.
    """
    count = "" if examples is None else f", {examples:,} images"
    data = f"`{config.data.train}`{count}; the whole recipe is in config.json."
    if config.model.pretrained:
        data += f" The encoder started from `{config.model.pretrained}`."
    return CARD.format(
        title="CLASS for salient object detection",
        parameters=parameters,
        side=config.eval.image_size,
        data="As the authors trained it, on DUTS-TR." if is_converted else data,
        terms=RELEASED_TERMS if is_converted else UNKNOWN_TERMS,
        scores=scores or "None are known.",
    )
