"""Use a trained network: predict the saliency maps of images."""
