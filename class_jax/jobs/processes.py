"""Open a network and make outputs with it, a share in each of several processes."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ml_collections import ConfigDict

from class_jax import parallel
from class_jax.jobs.maps import MapResults, make_maps
from class_jax.jobs.plan import Job, Sorted, count_jobs
from class_jax.networks.places import find, is_there, keep_trying
from class_jax.pictures.outputs import MAPS, Output
from class_jax.pictures.predictor import Predictor


class OpenedNetwork(NamedTuple):
    """A network, loaded only if there is something to do, and the maps to make with it."""

    fingerprint: str
    sorted_jobs: list[Sorted]
    predictor: Predictor | None


def open_network(
    model: str | os.PathLike[str],
    config: ConfigDict,
    checkpoint: str,
    sort: Callable[[str], list[Sorted]],
    *,
    output: Output = MAPS,
) -> OpenedNetwork:
    """Find a network that all processes see, tell the user which, and load it if needed.

    Args:
      model: as `places.find` takes it.
      config: the configuration in force.
      checkpoint: of a workdir: "best", "latest" or a step.
      sort: sorts the planned outputs, given the fingerprint of the network and the output.
      output: what is to be made.

    Raises:
      UserError: no such network or checkpoint, or it is damaged.
    """
    parallel.check_same(is_there(model), "whether they see checkpoints")

    def attempt() -> OpenedNetwork:
        found = find(model, checkpoint).with_settings(config)
        fingerprint = found.fingerprint + output.text
        sorted_jobs = parallel.run_on_first(lambda: sort(fingerprint))
        parallel.log(f"checkpoint: {found.description}")
        if not any(jobs.todo for jobs in sorted_jobs):
            return OpenedNetwork(fingerprint, sorted_jobs, None)
        engine = parallel.run_on_all(found.engine)
        engine.expect(max(map(count_jobs, sorted_jobs)))
        return OpenedNetwork(fingerprint, sorted_jobs, Predictor(engine))

    # Several processes would not agree on another checkpoint.
    return attempt() if parallel.process_count() > 1 else keep_trying(attempt)


def make_shared_maps(
    jobs: Sequence[Job], network: OpenedNetwork, *, title: str, output: Output = MAPS
) -> MapResults:
    """Make maps or other outputs, a share in each process; return the results of all."""
    if not jobs:
        return MapResults(0, {}, Counter())
    predictor = network.predictor
    assert predictor is not None
    own = [jobs[index] for index in parallel.local_indices(len(jobs))]
    parallel.log(f"{len(jobs)} {title} to make, on {predictor.device}")
    results = parallel.run_on_all(
        lambda: make_maps(own, predictor, network=network.fingerprint, title=title, output=output)
    )
    if parallel.process_count() > 1:
        print(f"process {parallel.process_index()}: {results.written} {title}", file=sys.stderr)
    shares = parallel.all_gather(results)
    return MapResults(
        written=sum(share.written for share in shares),
        failed={path: why for share in shares for path, why in share.failed.items()},
        guesses=sum((share.guesses for share in shares), Counter()),
    )
