"""CLASS salient object detection; README.md says what each mode does."""

from class_jax.command import run_command

if __name__ == "__main__":
    run_command()
