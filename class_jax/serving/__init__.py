"""A trained network as a local page in the browser and as an HTTP API."""
