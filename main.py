"""CLASS salient object detection; README.md says what each --mode does."""

import sys

from class_jax.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
