"""A predictor without a network: redder pixels are more salient."""

import numpy as np

from class_jax.pictures.predictor import Predictor


class RedPredictor(Predictor):
    """Stands in for Predictor where maps are made; notes the sizes of its batches."""

    image_size = None  # pictures keep their own size
    engine = None

    def __init__(self, *, batch_size=2, value=None):
        self.batch_size = batch_size
        self.batches = []
        self._value = value

    def maps(self, batch):
        self.batches.append(len(batch))
        for picture in batch:
            red = picture.pixels[..., 0].astype(np.float32) / 255
            yield red if self._value is None else np.full_like(red, self._value)


class Looking(RedPredictor):
    """Keeps what the network sees."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def maps(self, batch):
        self.seen.extend(picture.pixels.copy() for picture in batch)
        return super().maps(batch)
