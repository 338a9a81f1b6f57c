"""Using a trained network: saliency maps for images."""
