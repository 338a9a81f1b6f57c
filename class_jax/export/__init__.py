"""Export a trained network to formats that other programs read, with proof that it is the same."""
