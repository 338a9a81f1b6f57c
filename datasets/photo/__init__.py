"""The photographs that the network in the package learned from; docs/photo.md is the lab book."""
