"""Which file may import which: the list of DESIGN.md §8."""

import ast
from pathlib import Path

import pytest

import composer

ROOT = Path(composer.__file__).parent

# From the top. A file imports from lines above its own, from what stands to its left on its
# line, and from its own package.
FLOORS = [
    ["errors", "places", "fixes", "problems", "incomplete", "config", "importing"],
    ["spaces", "masks", "columns", "devices", "seeds", "returns", "files"],
    ["layers", "modes", "noisy", "running_norm", "composites"],
    ["distributions"],
    ["apis"],
    ["encoders", "memories"],
    ["heads"],
    ["model_config", "replay_config"],
    [
        "module.settings",
        "module.state",
        "module.io_specs",
        "module.space_specs",
        "module.proving",
        "module.parts",
        "module.targets",
        "module.saved",
        "module.step",
        "module.rl_module",
        "module.composed",
    ],
    ["blueprint"],
    ["optimisers"],
    ["algorithms"],
    ["catalog", "composition"],
    ["module.specs", "module.multi", "module.checkpoint"],
    ["module.own_code", "module.audition", "module.trial", "module.custom"],
    ["environments", "loggers", "executors", "training"],
    ["loading"],
    ["engines.base", "experiment", "checking", "comparison"],
    ["engines.policy", "engines.trainer", "engines.local", "engines.ray"],
    ["interop", "testing", "schema", "listing"],
    ["cli"],
]
PLACES = {
    name: (floor, column) for floor, line in enumerate(FLOORS) for column, name in enumerate(line)
}
MODULES = {"module.rl_module": {"catalog.catalog", "module.checkpoint", "module.multi"}}
"""The methods of RLModule that reach a lower floor."""
OPTIONAL = ("encoders.graph", "loggers.", "interop.", "engines.ray", "blueprint.draw")
"""Where optional libraries are imported when they are used."""
COMMAND_LINE = {"cli.main"}

SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(ROOT.rglob("*.py"))
    if not path.relative_to(ROOT).as_posix().startswith(("conf/", "cli/project/"))
}


def imports(source):
    """What a file imports outside `if TYPE_CHECKING`, and whether inside a function."""
    found = []

    def visit(node, inside):
        if isinstance(node, ast.Import):
            found.extend((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source} has a relative import"
            found.extend((full_name(node.module, alias.name), inside) for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                visit(child, inside)
        else:
            inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for child in ast.iter_child_nodes(node):
                visit(child, inside)

    visit(ast.parse(SOURCES[source].read_text()), False)
    return found


def full_name(module, name):
    """`from composer.loading import load` may name a file or what `__init__` holds."""
    inner = f"{module}.{name}".removeprefix("composer.")
    is_file = module.startswith("composer") and inner in SOURCES
    return f"{module}.{name}" if is_file else module


def ours(source):
    """The files of Composer that a file imports, without `composer.`."""
    return [
        (name.removeprefix("composer").removeprefix("."), inside)
        for name, inside in imports(source)
        if name.partition(".")[0] == "composer"
    ]


def place(name):
    """Floor and column of a file, by its own name or its package's."""
    return PLACES.get(name) or PLACES.get(name.partition(".")[0])


def package(name):
    return name.partition(".")[0]


def may_import(source, target):
    """Whether the list allows it."""
    (floor, column), (other_floor, other_column) = place(source), place(target)
    same_package = package(source) == package(target) and package(source) in PLACES
    higher = other_floor < floor
    to_the_left = other_floor == floor and other_column < column
    return same_package or higher or to_the_left


SPLIT = {"engines.__init__", "module.__init__"}
"""Of packages whose files stand on several floors."""
files = pytest.mark.parametrize("source", sorted(SOURCES.keys() - SPLIT - {"__init__"}))


@files
def test_every_file_has_a_floor(source):
    assert place(source), f"{source} stands on no floor"


@files
def test_a_file_imports_from_above_only(source):
    wrong = [
        target
        for target, inside in ours(source)
        if not inside and (target == "" or not may_import(source, target))
    ]
    assert not wrong, f"{source} imports {wrong}, which stand below it"


@files
def test_no_imports_inside_functions_but_those_of_the_list(source):
    allowed = MODULES.get(source, set())
    wrong = [target for target, inside in ours(source) if inside and target not in allowed]
    others = [
        name for name, inside in imports(source) if inside and not name.startswith("composer")
    ]
    if not source.startswith(OPTIONAL) and source not in COMMAND_LINE:
        wrong += others
    assert not wrong, f"{source} imports {wrong} inside a function"


@pytest.mark.parametrize("source", sorted(SPLIT))
def test_a_package_on_several_floors_imports_nothing_itself(source):
    assert imports(source) == []


def test_hydra_is_known_to_loading_and_the_runner_only():
    who = {
        source
        for source in SOURCES
        for name, _ in imports(source)
        if name.partition(".")[0] in ("hydra", "omegaconf")
    }
    assert {source for source in who if package(source) != "loading"} <= {"cli.sweep"}


@pytest.mark.parametrize(
    ("source", "target", "allowed"),
    [
        ("config", "errors", True),
        ("errors", "config", False),
        ("layers", "config", True),
        ("encoders.cnn", "encoders.base", True),
        ("encoders.cnn", "heads.base", False),
        ("module.composed", "module.rl_module", True),
        ("module.rl_module", "module.checkpoint", False),
        ("blueprint.blueprint", "module.composed", True),
        ("blueprint.blueprint", "module.specs", False),
        ("experiment", "engines.local", False),
        ("engines.local", "experiment", True),
    ],
)
def test_the_list_means_what_it_says(source, target, allowed):
    assert may_import(source, target) is allowed
