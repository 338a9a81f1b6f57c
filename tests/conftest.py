"""Simulated devices for the whole suite, and the small network that most tests use."""

import atexit
import importlib.metadata
import os
import shutil
import signal
import tempfile

# Before JAX starts: eight simulated devices, of which most tests use one.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_force_host_platform_device_count=8"
    # Nearly all of the suite is compilation; these take two thirds off it.
    " --xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    # Newer XLA does not know this one, and ends the process at a flag that it does not know.
    + " --xla_cpu_use_fusion_emitters=false"
    * importlib.metadata.version("jaxlib").startswith("0.10."),
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Programs that several tests compile are kept for this run; its processes inherit the folder.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="class_jax-compiled-")
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")

import pytest
from jax.sharding import Mesh

from class_jax.command import cli
from class_jax.models.network import Network, build_network
from tests.program import RECIPE, call, use_one_device
from tests.small_run import SMALL_MODEL, SmallRun, mesh_of, small_run

# A suite in the background of a shell, or under nohup, inherits ignored signals, and so would its
# processes: it sets those that it sends.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def small_network() -> Network:
    """All parts of CLASS, 16 times narrower."""
    return build_network(SMALL_MODEL, dtype="float32")


@pytest.fixture(scope="session")
def one_device() -> Mesh:
    """A mesh of a single device."""
    return mesh_of(1)


@pytest.fixture(scope="session")
def run_on_one(small_network: Network, one_device: Mesh) -> SmallRun:
    """The small network's training step on one device, compiled once for all tests."""
    return small_run(small_network, one_device)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Call the program from a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    use_one_device(monkeypatch)
    return lambda *arguments: call(monkeypatch, capsys, *arguments)


@pytest.fixture(scope="session")
def recipe(tmp_path_factory):
    path = tmp_path_factory.mktemp("recipe") / "tiny.py"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def trained(recipe, tmp_path_factory):
    """A workdir in which the small recipe was trained and evaluated."""
    workdir = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        use_one_device(patch)
        assert cli.main(["--config", str(recipe), "--workdir", str(workdir)]) == 0
    return workdir
