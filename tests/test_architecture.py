"""The import rules of the project, read from its syntax trees: else each would erode unseen."""

import ast
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from sdtool.cli import STAGES

ROOT = Path(__file__).parent.parent
HEAVY = {"torch", "numba", "diffusers", "transformers", "trimesh", "scipy", "safetensors", "PIL"}


@cache
def modules():
    """{dotted name: syntax tree} of the whole project; stages are `sdtool.stages.X`."""
    found = {}
    for base, prefix in ((ROOT / "sdtool", "sdtool"), (ROOT / "stages", "sdtool.stages")):
        for path in sorted(base.rglob("*.py")):
            parts = [prefix, *path.relative_to(base).with_suffix("").parts]
            name = ".".join(part for part in parts if part != "__init__")
            found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


@cache
def imports(tree):
    """(imported dotted name, is inside a function) of every import that is ever executed."""
    return list(_imports(tree))


def _imports(tree):
    for_types_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and dotted(block.test).endswith("TYPE_CHECKING")
        for node in ast.walk(block)
    }
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if id(node) in for_types_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide who imports whom"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield (full if full in modules() else node.module), id(node) in inside


def own_imports(name):
    """The modules of the project that module `name` imports anywhere."""
    return {target for target, _ in imports(modules()[name]) if target.split(".")[0] == "sdtool"}


def dotted(node):
    """`a.b.c` of an attribute chain, else ""."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree):
    """Yield (dotted name of the function, keyword names, call)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield dotted(node.func), {k.arg for k in node.keywords}, node


def test_the_project_is_found():
    assert {"sdtool.cli", "sdtool.errors", "sdtool.stages.lift", "sdtool.rendering"} <= set(
        modules()
    )


# Who may import whom


def test_only_the_command_line_knows_the_stages():
    for name in modules():
        stages = {target for target in own_imports(name) if target.startswith("sdtool.stages.")}
        assert not stages, f"{name} imports {stages}: stages know each other through files only"
        assert "sdtool.cli" not in own_imports(name), name


# Each imports from the lines above its own only, and from itself.
LAYERS = (
    ("errors", "tiny"),
    ("geometry", "io"),
    ("meshfiles", "runtime"),
    ("priors", "shapes", "rendering", "toyverse"),
    ("captioning", "exporting", "filtering", "lifting", "pushing", "training"),
    ("orienting", "texturing", "viewing"),
    ("evaluating",),
    ("bench", "doctor"),
    ("stages",),
    ("cli",),
)
LAYER = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}


def room(name):
    """The folder of `sdtool` that module `name` lies in, or its own name; "" for `sdtool` itself."""
    return ".".join(name.split(".")[1:2])


def test_rooms_import_from_the_layers_below_only():
    assert {room(name) for name in modules()} == {"", *LAYER}
    for name in modules():
        for target in own_imports(name) - {"sdtool"}:
            below = LAYER[room(target)] < LAYER.get(room(name), -1)
            assert below or room(target) == room(name), f"{name} imports {target}"


def test_the_documented_layers_are_these():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\d+\. (`.*`)$", text, re.MULTILINE)
    assert [tuple(re.findall(r"`(\w+)`", line)) for line in lines] == list(LAYERS)


def gerunds(verb):
    """A verb with -ing, as English may spell it: filter, evaluate, run."""
    return {f"{verb}ing", f"{verb.removesuffix('e')}ing", f"{verb}{verb[-1]}ing"}


def test_a_folder_in_ing_does_the_work_of_the_commands_that_begin_with_its_verb():
    folders = {path.parent.name for path in (ROOT / "sdtool").glob("*/__init__.py")}
    verbs = set().union(*(gerunds(command.split("-")[0]) for command in STAGES))
    named = {name for name in folders if name.endswith("ing")}
    assert len(named) >= 8 and named <= verbs, named - verbs
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    for name in folders | {"stages"}:
        assert f"**`{name}/`**" in text, f"docs/architecture.md has no paragraph on {name}/"


def test_the_lowest_modules_know_no_others():
    below = {
        "sdtool.geometry.meshes": {"sdtool.errors"},
        "sdtool.geometry.cameras": {"sdtool.errors"},
        "sdtool.geometry.ccm": {"sdtool.geometry.cameras", "sdtool.geometry.meshes"},
        "sdtool.io.files": {"sdtool.errors"},
        "sdtool.io.failures": {"sdtool.errors", "sdtool.io.files"},
        "sdtool.io.lock": {"sdtool.errors"},
        "sdtool.io.stage_record": {
            "sdtool",
            "sdtool.errors",
            "sdtool.io.failures",
            "sdtool.io.files",
            "sdtool.io.lock",
            "sdtool.io.record_differences",
            "sdtool.io.words",
        },
        "sdtool.io.record_differences": set(),
        "sdtool.io.words": set(),
        "sdtool.lifting.schedules": {"sdtool.errors"},
        "sdtool.lifting.sds": {"sdtool.errors", "sdtool.lifting.schedules"},
    }
    for name, allowed in below.items():
        assert own_imports(name) <= allowed, f"{name} imports {own_imports(name) - allowed}"


def test_imports_make_no_circle():
    graph = {name: own_imports(name) & set(modules()) - {name, "sdtool"} for name in modules()}
    while graph:
        free = {name for name, targets in graph.items() if not targets & set(graph)}
        assert free, f"these modules import each other in a circle: {sorted(graph)}"
        graph = {name: targets for name, targets in graph.items() if name not in free}


@pytest.mark.parametrize(
    "library",
    [
        "nvdiffrast",
        "tinycudann",
        "warp",
        "open3d",
        "ray",
        "embreex",
        "DracoPy",
        "igl",
        "meshopt",
        "objaverse",
        "accelerate",
        "pyarrow",
        "libusb_package",
        "lib3mf",
        "manifold3d",
        "pxr",
        "peft",
    ],
)
def test_accelerators_are_imported_in_one_file_inside_a_function(library):
    users = [
        (name, inside)
        for name, tree in modules().items()
        for target, inside in imports(tree)
        if target.split(".")[0] == library
    ]
    assert len({name for name, _ in users}) <= 1, users
    assert all(inside for _, inside in users), users


def test_every_package_that_is_imported_is_declared():
    """As far as it is installed; nvdiffrast and tinycudann, which no index has, are not."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *sum(project["optional-dependencies"].values(), [])]
    plain = lambda name: re.sub(r"[-_.]+", "-", name).lower()  # noqa: E731
    declared = {plain(re.match(r"[\w.-]+", text)[0]) for text in texts} | {"sdtool"}
    known = packages_distributions()
    roots = {target.split(".")[0] for tree in modules().values() for target, _ in imports(tree)}
    for root in roots & known.keys():
        assert declared & set(map(plain, known[root])), f"{root} is imported, and not declared"


def test_models_of_diffusers_are_imported_in_one_file():
    """It keeps peft out of sight, which diffusers else imports with them."""
    users = [
        name
        for name, tree in modules().items()
        for target, _ in imports(tree)
        if re.match(r"diffusers(\.models|\.loaders|\.pipelines|\.schedulers|$)", target)
    ]
    assert set(users) == {"sdtool.priors.models"}, users


def loaded(statement):
    """The modules that a fresh interpreter has loaded after `statement`."""
    code = f"{statement}; import sys; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.splitlines()[-1].split())


def test_help_loads_nothing_heavy_and_no_stage():
    names = loaded("from sdtool.cli import run; assert run(['--help']) == 0")
    assert "sdtool.cli" in names
    assert not names & (HEAVY | {"numpy"})
    assert not [name for name in names if name.startswith("sdtool.stages.")]


# Between the two imports of diffusers some may happen; without pauses there are hundreds.
WATCHED = """
import gc, sys
last = "diffusers.schedulers.scheduling_ddpm"
seen = []
gc.callbacks.append(lambda *_: seen.append("diffusers.utils" in sys.modules and last not in sys.modules))
import sdtool.priors.loading
assert last in sys.modules and gc.isenabled() and sum(seen) < 10, sum(seen)
"""


@pytest.mark.slow
def test_priors_are_loaded_without_peft_and_without_collections():
    """peft takes a third of a second, looking for garbage among thousands of classes more than one."""
    names = loaded(WATCHED.strip())
    assert "diffusers.models.unets.unet_2d_condition" in names and "peft" not in names


def test_stages_load_nothing_heavy_before_they_run():
    stages = [name for name in modules() if name.startswith("sdtool.stages.")]
    names = loaded(f"import {', '.join(stages)}")
    assert set(stages) <= names
    assert not names & HEAVY


def test_what_the_cards_of_priors_say_is_told_without_loading_one():
    """So a wrong folder is refused at once."""
    command = "assert run(['merge-agp', 'nowhere', '--out', 'x']) == 1"
    names = loaded(f"from sdtool.cli import run; {command}")
    assert "sdtool.priors.cards" in names and not names & (HEAVY - {"safetensors"})


@pytest.mark.parametrize("prior", ["--agp", "--base", "--color-prior"])
def test_a_prior_that_is_not_there_is_refused_before_any_is_loaded(prior, tmp_path):
    command = ["lift", "a corgi", prior, "nowhere", "--out", str(tmp_path / "out")]
    assert "diffusers" not in loaded(f"from sdtool.cli import run; assert run({command}) == 1")


# What nobody may write


def docstrings(tree):
    """The ids of docstring nodes."""
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    return {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, kinds) and node.body and isinstance(node.body[0], ast.Expr)
    }


OPTIONS = "sdtool.runtime.options"  # parts of stages: what their signatures share


def test_shared_options_are_for_stages_only():
    for name in modules():
        for_stages = room(name) == "stages" or name.endswith(".options")
        assert OPTIONS not in own_imports(name) or for_stages, name


def test_no_device_is_named_below_the_stages():
    for name, tree in modules().items():
        if room(name) == "stages" or name == OPTIONS:
            continue
        skip = docstrings(tree)
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and id(node) not in skip
            ):
                is_device = node.value == "cuda" or node.value.startswith("cuda:")
                assert not is_device, f"{name}, line {node.lineno}: the device follows the tensors"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert node.func.attr != "cuda", f"{name}, line {node.lineno}: .cuda()"


def test_nothing_that_is_loaded_can_execute_code():
    for name, tree in modules().items():
        roots = {target.split(".")[0] for target, _ in imports(tree)}
        assert not roots & {"pickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}, name
        for function, keywords, call in calls(tree):
            where = f"{name}, line {call.lineno}: {function}"
            assert function not in ("torch.load", "torch.save", "eval", "exec", "np.save"), where
            assert "allow_pickle" not in keywords and "trust_remote_code" not in keywords, where


def test_only_the_command_line_turns_a_string_into_code():
    for name, tree in modules().items():
        for function, _, call in calls(tree):
            magic = ("importlib.import_module", "import_module", "__import__", "globals")
            where = f"{name}, line {call.lineno}: {function}"
            assert function not in magic or name == "sdtool.cli", where


def test_text_is_utf8_on_every_machine():
    for name, tree in modules().items():
        for function, keywords, call in calls(tree):
            last = getattr(call.func, "attr", function)
            texts = [a.value for a in call.args if isinstance(a, ast.Constant)]
            ours = function in ("write_text", "files.write_text")
            is_text = last in ("read_text", "write_text") and not ours
            is_text |= function == "open" and not any("b" in str(mode) for mode in texts)
            said = keywords & {"encoding", None}  # None: **UTF8
            where = f"{name}, line {call.lineno}: {last} without encoding"
            assert not is_text or said, where


# torch has initialisers that draw from the global generator only; there it is seeded on the spot.
SEEDS_GLOBALLY = {
    "sdtool.priors.fresh",
    "sdtool.evaluating.judge_training",
    "sdtool.bench.gpu.pipelines",
}
DRAWS = ("rand", "randn", "randint", "randperm", "normal", "multinomial", "bernoulli")
NUMPY_ALLOWED = ("default_rng", "Generator", "SeedSequence", "Philox", "PCG64")


def test_randomness_is_passed_in():
    for name, tree in modules().items():
        assert "random" not in {target for target, _ in imports(tree)}, f"{name} imports random"
        for function, keywords, call in calls(tree):
            where = f"{name}, line {call.lineno}: {function}"
            head, _, last = function.rpartition(".")
            if head in ("np.random", "numpy.random"):
                assert last in NUMPY_ALLOWED, f"{where} draws from the global generator"
            if head == "torch" and last in DRAWS:
                assert "generator" in keywords, f"{where} has no generator"
            if head == "torch" and last in ("rand_like", "randn_like", "randint_like"):
                raise AssertionError(f"{where} cannot take a generator")
            if function in ("torch.manual_seed", "torch.seed"):
                assert name in SEEDS_GLOBALLY, f"{where} seeds for everybody"


TURNS_AXES = {"sdtool.geometry.cameras", "sdtool.geometry.ccm"}
POINTS = ("pos", "point", "xyz", "normal", "vert", "coord")


def test_axes_are_permuted_in_two_places_only():
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Subscript) or not isinstance(node.slice, ast.Tuple):
                continue
            last = node.slice.elts[-1]
            order = [getattr(e, "value", None) for e in getattr(last, "elts", [])]
            turned = sorted(map(str, order)) == ["0", "1", "2"] and order != [0, 1, 2]
            of_points = any(word in dotted(node.value).lower() for word in POINTS)
            if turned and of_points:
                assert name in TURNS_AXES, f"{name}, line {node.lineno}: axes permuted"


LONGEST = 150  # lines of a function, its signature and docstring included


def test_functions_are_short():
    for name, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < LONGEST, f"{name}: {node.name}"


# Where no option can be blamed, with how many complaints.
BLAMELESS = {
    "sdtool.io.stage_record": 1,  # a parameter differs from the record's: whichever was changed
    "sdtool.io.toml": 1,  # a value that is told without its name
    "sdtool.shapes.hashgrid": 8,  # arguments of the library, chosen by its callers
    "sdtool.shapes.hashgrid_tinycudann": 2,
    "sdtool.training.distributed": 2,  # the launcher around the command is at fault
}


def names_an_option(node):
    """Whether an argument of `UsageError` is "--lr", f"--set {…}", "PROMPT", a variable `option` or
    another error's `*error.options`."""
    if isinstance(node, ast.Starred):
        return dotted(node.value) == "error.options"
    if isinstance(node, ast.JoinedStr):
        node = node.values[0]
    text = getattr(node, "value", "")
    is_name = isinstance(text, str) and (text.startswith("--") or text.isupper())
    return is_name or dotted(node) == "option"


def test_a_usage_error_blames_an_option():
    unnamed = {}
    for name, tree in modules().items():
        for function, _, call in calls(tree):
            named = any(map(names_an_option, call.args[1:]))
            if function == "UsageError" and not named:
                unnamed.setdefault(name, []).append(call.lineno)
    assert {name: len(lines) for name, lines in unnamed.items()} == BLAMELESS, unnamed


def test_choices_are_literals():
    """An option's words are in its type; a list beside it is for names among paths, as of --init."""
    open_sets = {"init", "features", "categories"}
    for name, tree in modules().items():
        if room(name) != "stages":
            continue
        assert "enum" not in {target for target, _ in imports(tree)}, name
        for node in ast.walk(tree):
            if isinstance(node, ast.arg) and node.annotation is not None:
                keywords = {k for _, names, _ in calls(node.annotation) for k in names}
                completes = "autocompletion" in keywords
                assert not completes or node.arg in open_sets, f"{name}: {node.arg}"
