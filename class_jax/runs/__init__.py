"""A run on disk: workdir, checkpoints, manifest."""
