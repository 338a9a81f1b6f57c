"""The model card of an exported network: what it is, its data, terms and scores."""

from pathlib import Path

from ml_collections import ConfigDict

CARD = Path(__file__).with_name("card.md").read_text(encoding="utf-8")
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
        parameters=parameters,
        side=config.eval.image_size,
        data="As the authors trained it, on DUTS-TR." if is_converted else data,
        terms=RELEASED_TERMS if is_converted else UNKNOWN_TERMS,
        scores=scores or "None are known.",
    )
