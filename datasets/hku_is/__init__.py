"""HKU-IS."""
