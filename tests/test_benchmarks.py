"""The peer is the network it is compared with, and rows hold what is needed to repeat them."""

import ast
import importlib
import json

import jax
import numpy as np
import pytest

from benchmarks import compiled, profile, record
from benchmarks.flax_peer import flax_layers
from benchmarks.record import Row
from class_jax.models.network import Variables, build_network
from tests.program import ROOT
from tests.small_run import SMALL_MODEL


def test_the_pytorch_network_computes_what_ours_does(small_network):
    torch = pytest.importorskip("torch")
    from benchmarks.torch_peer import TorchClass, load  # noqa: PLC0415

    rng = np.random.default_rng(0)

    def drawn(path, leaf):  # nothing at its starting value, where parts are switched off
        value = rng.normal(0.2, 0.2, leaf.shape)
        return np.float32(np.abs(value) + 0.5 if "var" in str(path[-1]) else value)

    shapes = small_network.shapes
    variables = Variables(*(jax.tree_util.tree_map_with_path(drawn, tree) for tree in shapes))
    images = rng.integers(0, 256, (2, 64, 96, 3)).astype(np.float32)
    peer = load(TorchClass((1, 1, 1, 1), 4, 8), variables).eval()
    with torch.inference_mode():
        expected = peer(
            torch.tensor(np.asarray(small_network.normalize(images))).permute(0, 3, 1, 2)
        ).numpy()
    logits = np.asarray(small_network.apply(variables, images))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    del variables.params["heads"]
    with pytest.raises(ValueError, match=r"do not fit.*heads"):
        load(TorchClass((1, 1, 1, 1), 4, 8), variables)


def test_rows_say_how_to_repeat_them(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    rows = [Row("a", "cpu", "s", 2.0, 4.0, 2.0), Row("b", "cpu", "s", 1.0)]
    record.record("test", rows, ["numpy"])
    first, second = json.loads((tmp_path / "test.json").read_text())
    assert (first["name"], first["ours"], first["peer"], first["ratio"]) == ("a", 2.0, 4.0, 2.0)
    assert (second["peer"], second["ratio"]) == (None, None)
    assert first["versions"]["numpy"] == np.__version__
    assert len(first["date"]) == 10
    assert first["commit"] or not (ROOT / ".git").exists()  # an unpacked archive has none
    assert "ratio" in capsys.readouterr().out


def test_rows_of_other_devices_and_names_stay(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    record.record("trial", [Row("a", "a GPU", "MiB", 3.0, 4.0), Row("b", "a CPU", "s", 5.0)], ())
    assert "peer" in capsys.readouterr().out  # a peer, and no ratio
    record.record("trial", [Row("a", "a CPU", "s", 1.0), Row("b", "a CPU", "s", 6.0)], ())
    rows = json.loads((tmp_path / "trial.json").read_text())
    assert [(row["name"], row["device"], row["ours"]) for row in rows] == [
        ("a", "a GPU", 3.0), ("a", "a CPU", 1.0), ("b", "a CPU", 6.0),
    ]  # fmt: skip


def test_times_in_turns_give_speeds_and_the_ratio_of_each_round(monkeypatch):
    row = record.against_peer("x", 8, [[1.0, 2.0], [2.0, 2.0], [4.0, 12.0]])
    assert (row.ours, row.peer, row.ratio) == (4.0, 4.0, 2.0)
    assert record.against_peer("x", 8, [[1.0], [2.0], [4.0]]).ours == 4.0
    turns, pauses = [], []
    monkeypatch.setattr(record.time, "sleep", pauses.append)
    runs = [lambda letter=letter: turns.append(letter) for letter in "ab"]
    times = record.interleaved(*runs, rounds=2, at_least=0)
    assert "".join(turns) == "ab" + 2 * "aabb"  # the first of a turn is not counted
    assert [len(each) for each in times] == [2, 2]
    assert len(pauses) == 4


PROGRAM = """HloModule jit_step

%inside (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  ROOT %mul.1 = f32[2]{0} multiply(%p, %p), metadata={op_name="jit(step)/jvp(heads)/mul" id=1}
}

ENTRY %main (a: f32[2], b: f32[2]) -> f32[2] {
  %a = f32[2]{0} parameter(0)
  %fused = f32[2]{0} fusion(%a), kind=kLoop, calls=%inside
  %add.2 = f32[2]{0} add(%a, %fused), metadata={op_name="transpose(jvp(encoder))/layer1/add"}
  %kernel = f32[2]{0} custom-call(%fused, %add.2), custom_call_target="conv"
  ROOT %sub.3 = f32[2]{0} subtract(%kernel, %a), metadata={op_name="jit(step)/update/sub"}
}
"""


def test_operations_are_traced_to_the_parts_of_the_network():
    names = profile.names_of(PROGRAM)
    parts = {operation: profile.part_of(name) for operation, name in names.items()}
    assert parts["fused"] == parts["mul.1"] == ("heads", "forward")
    assert parts["add.2"] == parts["kernel"] == ("layer1", "backward")
    assert parts["sub.3"] == ("update", "")
    assert parts["a"] == ("other", "")


def test_the_network_of_flax_layers_computes_what_ours_does(small_network):
    rng = np.random.default_rng(0)

    def drawn(path, leaf):
        value = rng.normal(0.2, 0.2, leaf.shape)
        return np.float32(np.abs(value) + 0.5 if "var" in str(path[-1]) else value)

    shapes = small_network.shapes
    variables = Variables(*(jax.tree_util.tree_map_with_path(drawn, tree) for tree in shapes))
    images = rng.integers(0, 256, (2, 64, 96, 3)).astype(np.float32)
    logits = np.asarray(jax.jit(small_network.apply)(variables, images))
    with flax_layers("float32"):
        peer = jax.jit(build_network(SMALL_MODEL, dtype="float32").apply)(variables, images)
    np.testing.assert_allclose(peer, logits, rtol=0, atol=1e-4 * np.abs(logits).max())


COMPILED = """HloModule jit_step

%inside (p: f32[2]) -> f32[2] {
  %p = f32[2]{0} parameter(0)
  ROOT %mul.1 = f32[2]{0} transpose(%p), metadata={op_name="jit(step)/jvp(heads)/mul" id=1}
}

ENTRY %main (a: f32[2], b: f32[2]) -> f32[2] {
  %a = f32[2]{0:T(128)} parameter(0)
  %fused = f32[2]{0} fusion(%a), calls=%inside, backend_config={"estimated_cycles":"70"}
  %sum = (f32[2,3]{1,0}, bf16[5]{0:T(128)(2,1)}) all-reduce(%a, %fused), to_apply=%add
  ROOT %copy.3 = bf16[4,4]{1,0:T(8,128)S(1)} copy(%sum), backend_config={"estimated_cycles":"5"}
}
"""


def test_operations_exchanges_and_cycles_are_read_from_a_compiled_program():
    codes = [operation.code for operation in compiled.operations(COMPILED)]
    assert codes == ["parameter", "fusion", "all-reduce", "copy"]
    inside = compiled.operations(COMPILED, inside=True)
    assert [operation.code for operation in inside][:2] == ["parameter", "transpose"]
    assert inside[-1].result_bytes == 32
    cycles = compiled.cycles_by_part(COMPILED)
    assert (cycles["heads forward"], cycles.total()) == (
        70 + 5,
        75,
    )  # the copy has its operand's name
    assert compiled.collectives(COMPILED)["all-reduce"] == [2 * 3 * 4 + 5 * 2]
    assert compiled.collectives(COMPILED)["all-gather"] == []


MOVED = """HloModule jit_step

ENTRY %main (a: f32[8,4]) -> f32[2,4] {
  %a = f32[8,4]{1,0:T(8,128)} parameter(0)
  %s = ((f32[8,4]{1,0:T(8,128)}), f32[2,4]{1,0:T(8,128)S(1)}, s32[]{:S(2)}) slice-start(%a)
  %d = f32[2,4]{1,0:T(8,128)S(1)} slice-done(%s)
  %e = f32[2,4]{1,0:T(8,128)S(1)} fusion(%d, %a), kind=kLoop, calls=%inside
  %c = (bf16[2,4]{1,0}, bf16[2,4]{1,0:S(1)}, u32[]{:S(2)}) copy-start(%e), backend_config=ENDLESS
  ROOT %z = bf16[2,4]{1,0} copy-done(%c)
}
""".replace("ENDLESS", '{"estimated_cycles":"9223372036854775807"}')


def test_traffic_of_main_memory_leaves_out_what_stays_in_fast_memory():
    # A slice of two rows, the fusion's second operand, and the copy that is written back.
    assert compiled.hbm_bytes(MOVED) == 2 * 4 * 4 + 8 * 4 * 4 + 2 * 4 * 2
    assert compiled.cycles_by_part(MOVED).total() == 0  # no estimate


@pytest.mark.parametrize("file", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda x: x.stem)
def test_what_a_benchmark_imports_of_the_program_exists(file):
    """Most need PyTorch or minutes, so that no test runs them."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("class_jax"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"{node.module} has no {alias.name}"
