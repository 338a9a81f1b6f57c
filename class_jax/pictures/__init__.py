"""Images in, maps and outputs out; no files and no flags."""
