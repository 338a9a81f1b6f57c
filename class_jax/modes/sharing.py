"""Whether all processes see one workdir; nothing to do for one process."""

import time
import uuid

from etils import epath

from class_jax import hosts
from class_jax.errors import UserError
from class_jax.workdir import Workdir

PATIENCE = 90  # seconds: network disks show each other's new files late


def check_shared(workdir: Workdir) -> None:
    """Raise UserError, in all processes, where one does not see what the first writes."""
    if hosts.count() == 1:
        return
    mark, content = hosts.from_first(lambda: _marked(workdir.path))
    try:
        hosts.together(lambda: _wait_for(mark, content, workdir))
    finally:
        if hosts.is_first():
            mark.unlink(missing_ok=True)


def check_trained(workdir: Workdir) -> None:
    """Raise UserError, in all processes, where checkpoints are there for some of them alone."""
    hosts.check_same(
        workdir.checkpoints.exists(),
        f"whether they see checkpoints in --workdir={workdir.path}, which must be one folder for "
        "all",
    )


def _marked(folder: epath.Path) -> tuple[epath.Path, str]:
    mark, content = folder / ".seen-by-all", uuid.uuid4().hex
    mark.write_text(content)
    return mark, content


def _wait_for(mark: epath.Path, content: str, workdir: Workdir) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (mark.exists() and mark.read_text() == content):
        if time.monotonic() > deadline:
            raise UserError(
                f"--workdir={workdir.path} is not the first process's: all processes need one "
                "folder that they share, on a common disk or in a bucket."
            )
        time.sleep(0.5)
