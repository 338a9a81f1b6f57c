"""Files in, files out: plan, fingerprints, batches."""
