"""From files to batches: sources of images and masks, decoding, augmentation, feeding."""
