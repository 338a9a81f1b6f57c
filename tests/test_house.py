"""House rules: imports run one way, functions and files are short, docstrings are plain."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = sorted((ROOT / "class_jax").rglob("*.py"))
PRODUCT = [
    *PACKAGE,
    ROOT / "main.py",
    ROOT / "setup.py",
    *(ROOT / "datasets").rglob("*.py"),
    *(ROOT / "configs").glob("*.py"),
]

# Who may import whom inside class_jax.
ALLOWED = {
    "losses": set(),
    "sharding": set(),
    "beside": set(),
    "parallel": set(),
    "files": set(),
    "leaves": set(),
    "config": {"runs", "leaves", "beside"},
    "data": {"files"},
    "models": set(),
    "weights": {"models", "files"},
    "runs": {"models", "parallel", "sharding", "files"},
    "training": {"models", "losses", "data", "sharding", "runs", "parallel", "files"},
    "evaluation": {"data", "files"},
    "networks": {"models", "config", "leaves", "data", "sharding", "runs", "files", "weights"},
    "pictures": {"models", "data", "networks"},
    "jobs": {"data", "files", "networks", "pictures", "parallel"},
    "export": {"models", "data", "weights", "networks", "leaves"},
    "serving": {"data", "networks", "pictures", "jobs"},
    "modes": {
        "models", "data", "sharding", "parallel", "runs", "config", "leaves", "files",
        "training", "evaluation", "networks", "pictures", "jobs", "losses", "weights", "export",
        "serving",
    },
    "command": {"beside", "parallel", "files", "leaves", "runs", "modes"},
}  # fmt: skip
EVERYONE = {"errors", "text"}  # may be imported by all, and import only each other

# Third parties, and the only files that may import them.
BOUNDARIES = {
    "torch": {"class_jax/weights/files.py"},
    "safetensors": {"class_jax/weights/files.py"},
    "huggingface_hub": {"class_jax/weights/hub.py"},
    "onnxruntime": {"class_jax/networks/onnx_engine.py"},
    "orbax": {"class_jax/runs/checkpoints.py"},
    "py_sod_metrics": {"class_jax/evaluation/protocols.py"},
    "onnx": {
        "class_jax/networks/foreign.py",
        "datasets/photo/packaged.py",
        *(f"class_jax/export/{name}.py" for name in ("lowering", "operators", "precision")),
    },
    "skimage": {"class_jax/evaluation/breakdowns.py"},
    "matplotlib": {"class_jax/evaluation/figures.py"},
    "tensorboardX": {"class_jax/training/summaries.py"},
    "grain": {"class_jax/data/feed.py"},
    "av": {f"class_jax/jobs/video/{name}.py" for name in ("reader", "writer", "audio", "pixels")},
    "filelock": {"class_jax/files.py"},
    "h11": {"class_jax/serving/visit.py"},
}


def imports(path):
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            if node.module == "class_jax":
                yield from (f"class_jax.{alias.name}" for alias in node.names)


def part_of(path):
    """The part of class_jax that a file belongs to: "models", "losses" …"""
    return path.relative_to(ROOT / "class_jax").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", PACKAGE, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    part = part_of(path)
    if part == "__init__":
        return
    allowed = ALLOWED.get(part, set()) | EVERYONE | {part}
    for module in imports(path):
        if module.startswith("class_jax."):
            other = module.split(".")[1]
            assert other in allowed, f"{part} imports {module}"
        if module.split(".")[0] == "datasets":
            assert part == "modes", f"{part} imports {module}"


def test_third_parties_stay_behind_their_file():
    for path in PRODUCT:
        for module in imports(path):
            allowed = BOUNDARIES.get(module.split(".")[0])
            assert allowed is None or str(path.relative_to(ROOT)) in allowed, f"{path}: {module}"


def test_functions_and_files_stay_short():
    lengths = []
    for path in PRODUCT:
        source = path.read_text()
        assert source.count("\n") <= 300, f"{path} has more than 300 lines"
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = node.end_lineno - node.body[0].lineno + 1
                lengths.append(length)
                if node.name != "get_config":  # a configuration is as long as it has leaves
                    assert node.end_lineno - node.lineno < 60, f"{path}: {node.name} is too long"
    lengths.sort()
    assert lengths[len(lengths) // 2] <= 12
    assert lengths[int(len(lengths) * 0.9)] <= 35


# Articles, pronouns, question words and others that begin a sentence and are no imperative.
NO_VERBS = re.compile(
    r"An?|The|Th(is|at|ese|ose)|Its?|They|We|You|I|T?[Hh]ere|Each|Every|All|Any|Some|Both|No|None"
    r"|One|Two|Only|Also|Not|If|Wh[a-z]+|How|Unless|Because|For|From|To|In|On|At|By|Of|With|Without"
    r"|As|After|Before|And|Or|But|So|Is|Are|Was|Were|Be|Been|Has|Have|Had|Do|Does|Did|Can|May|Must"
    r"|Should|Will|Would|True|False|Helper|Utility|Function|Method"
)
# Third persons, participles, adverbs and nouns, by their endings; and verbs that have these.
ENDINGS = re.compile(r".*(ing|ed|s|ly|tion|sion|ment|ness|ity|ance|ence|ism|ship|hood)")
VERBS = re.compile(
    r"(Br|R|S|Str|Spr)ing|.*eed|Embed|Shed|Wed|Focus|Bias|(?!.*(ness|less)$).*ss|.*ply|Rely|Fly"
    r"|Mention|Condition|Position|Comment|Document|(Imple|Incre|Decre|Comple)ment|Reference"
    r"|Balance|Advance|Enhance"
)


def is_imperative(line: str) -> bool:
    """Return whether a sentence may begin with an imperative, by the form of its first word."""
    word, *rest = line.split()
    if word.endswith((":", ".", ",")) and not rest:
        return False
    word = word.rstrip(",")
    if not re.fullmatch(r"[A-Z][a-z]+(-[a-z]+)?", word) or NO_VERBS.fullmatch(word):
        return False
    return bool(VERBS.fullmatch(word)) or not ENDINGS.fullmatch(word)


@pytest.mark.parametrize(
    "line",
    [
        "Run `fn` on process 0 and broadcast the result.",
        "Return the steps that have a checkpoint, ascending.",
        "Deliver a parcel.",  # verbs that no docstring has today
        "Interpolate, and clip.",
        "Rasterise a polygon of scanned points.",
        "Compress a level to 64 channels.",
        "Feed the network.",
        "Bring both to one size.",
        "Re-read a file that changed.",
        "Pass a gradient through.",
    ],
)
def test_an_imperative_is_recognised(line):
    assert is_imperative(line)


@pytest.mark.parametrize(
    "line",
    [
        "What `fn` gives in the first process, which alone does it.",
        "Returns the steps that have a checkpoint.",
        "The steps that have a checkpoint, ascending.",
        "Reading a file that changed.",
        "Resized to one size.",
        "Whether the run has begun.",
        "Helper of the exporter.",
        "Quickly compute the sum.",
        "Validation of a checkpoint.",
        "sum of the losses.",
    ],
)
def test_what_is_no_imperative_is_refused(line):
    assert not is_imperative(line)


def documented_functions():
    """Each function of the product that has a docstring, with the docstring's first line."""
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                text = ast.get_docstring(node)
                if text:
                    yield f"{path.relative_to(ROOT)}:{node.name}", text.splitlines()[0]


def test_docstrings_of_functions_begin_with_an_imperative_and_fit_a_line():
    wrong = [
        f"{place}: {line}"
        for place, line in documented_functions()
        if not is_imperative(line) or len(line) > 90
    ]
    assert not wrong, "\n".join(wrong)


def test_docstrings_begin_with_no_question_word():
    for path in PRODUCT:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                first = (ast.get_docstring(node) or "Return").split()[0]
                assert first not in {"What", "Whether", "Where", "Which", "How"}, f"{path}: {first}"


def test_nothing_private_of_jax_is_imported():
    for path in [*PRODUCT, *(ROOT / "benchmarks").glob("*.py"), *(ROOT / "tests").rglob("*.py")]:
        assert not [name for name in imports(path) if name and name.startswith("jax._src")], path


def test_library_code_names_no_flag():
    command_line = {"command", "config.py", "modes"}
    for path in PACKAGE:
        if path.relative_to(ROOT / "class_jax").parts[0] in command_line:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                text = node.value.replace("curl --data-binary", "")  # a flag of curl's
                assert not re.search(r"(?<!-)--[a-z]\w+", text), f"{path}:{node.lineno}"
