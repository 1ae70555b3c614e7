"""A blueprint as a picture."""

import html
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from gymnasium import spaces

from composer import compose
from composer.blueprint.draw import draw, mermaid
from composer.blueprint.explain import Explanation, Part, explained
from composer.blueprint.graph import graph_of
from composer.blueprint.measure import Cost
from composer.blueprint.page import layout, page
from composer.cli.main import main
from composer.errors import ComposerError

PPO = explained(compose(spaces.Box(-1, 1, (4,), np.float32), spaces.Discrete(2), algorithm="ppo"))
FREE = Cost(0, 0, 0)


def part(name, kind, inputs, out_dim, **further):
    """A part as one of a later kind would be."""
    fields = {"type": "some", "takes": "Box(3,) float32", "cost": Cost(7, 28, 6)} | further
    return Part(
        **{"reason": "given", "rejected": {}, "settings": (), "read_by": ()}
        | {"detached": False, "inference": True}
        | fields,
        name=name,
        kind=kind,
        inputs=inputs,
        out_dim=out_dim,
    )


KEYS = ("camera", "speed <m/s>", 'a "b" & #c', "`goal` | 100%\\n")
CHILDREN = tuple(f"main.encoder.{key}" for key in KEYS)
COMPOSITE = Explanation(
    observation="Dict(camera: Box(84, 84, 3) uint8, goal: Discrete(12), speed: Box(3,) float32)",
    action="Discrete(6)",
    algorithm="appo",
    parts=(
        *(part(name, "encoder", ("obs",), 64) for name in CHILDREN),
        part("main.encoder", "combine", CHILDREN, 256),
        part("main.memory", "memory", ("main.encoder",), 128),
        part("policy", "head", ("main.memory",), 6),
        part("distribution", "distribution", ("policy",), 6, takes="6"),
        part("value", "head", ("main.memory",), 1, inference=False),
        part("q", "head", ("main.memory",), 6, inference=False, detached=True),
    ),
    total=FREE,
    inference_total=FREE,
    copied=(),
    copied_total=FREE,
    offers=(),
    requires=(),
    drops=("value", "q"),
    fingerprint="0123",
)
both = pytest.mark.parametrize("explanation", [PPO, COMPOSITE], ids=["ppo", "composite"])


class Texts(HTMLParser):
    """The texts of the SVG elements of a page, and every address it mentions."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.addresses, self.inside = [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.inside = tag == "text"
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action")]

    def handle_data(self, data):
        if self.inside:
            self.texts.append(data)

    def handle_endtag(self, tag):
        self.inside = False


# what is drawn


def test_the_graph_goes_from_the_observation_to_the_actions():
    graph = graph_of(COMPOSITE)
    assert list(graph.boxes) == ["obs", *(p.name for p in COMPOSITE.parts), "actions"]
    ways = {(arrow.source, arrow.target) for arrow in graph.arrows}
    assert ways == {
        *(("obs", name) for name in CHILDREN),
        *((name, "main.encoder") for name in CHILDREN),
        ("main.encoder", "main.memory"),
        *(("main.memory", head) for head in ("policy", "value", "q")),
        ("policy", "distribution"),
        ("distribution", "actions"),
    }
    assert [arrow.target for arrow in graph.arrows if arrow.detached] == ["q"]
    assert [name for name, box in graph.boxes.items() if box.training_only] == ["value", "q"]
    assert graph.boxes["obs"].lines == (
        "camera: Box(84, 84, 3) uint8",
        "goal: Discrete(12)",
        "speed: Box(3,) float32",
    )


@both
def test_mermaid_has_every_box_and_every_arrow_and_escapes_names(explanation):
    graph = graph_of(explanation)
    lines = mermaid(graph).splitlines()
    assert lines[0] == "flowchart LR"
    titles = {}
    for line in lines:
        if found := re.fullmatch(r'  (n\d+)\(?\["<b>(.*?)</b>(?:<br/>[^<>"]*)*"\]\)?', line):
            titles[found[1]] = re.sub(r"#(\d+);", lambda number: chr(int(number[1])), found[2])
    assert list(titles.values()) == [quoted(name) for name in graph.boxes]
    arrows = [re.fullmatch(r'  (n\d+) (-->|-\.->)(?:\|"\d+"\|)? (n\d+)', line) for line in lines]
    drawn = [(titles[a[1]], titles[a[3]], a[2] != "-->") for a in arrows if a]
    assert drawn == [(quoted(a.source), quoted(a.target), a.detached) for a in graph.arrows]


def quoted(name):
    """Mermaid has no way to write a backtick."""
    return name.replace("`", "'")


@both
def test_a_page_has_every_box_and_every_arrow_and_needs_no_network(explanation):
    graph = graph_of(explanation)
    text = page(graph, explanation)
    read = Texts(text)
    for name, box in graph.boxes.items():
        assert name in read.texts
        assert set(box.lines) <= set(read.texts)
    assert text.count("marker-end") == len(graph.arrows)
    assert text.count('class="box ') == len(graph.boxes)
    assert read.addresses == []
    assert not re.search(r"https?:|@import|url\((?!#)|<script", text)
    assert "prefers-color-scheme: dark" in text
    ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])


@both
def test_boxes_of_a_page_do_not_overlap_and_stand_right_of_what_they_read(explanation):
    graph = graph_of(explanation)
    places = layout(graph)
    for arrow in graph.arrows:
        assert places[arrow.source].right < places[arrow.target].x
    listed = list(places.values())
    for i, one in enumerate(listed):
        assert one.y >= 0
        for other in listed[:i]:
            apart_in_x = one.right <= other.x or other.right <= one.x
            assert apart_in_x or one.y + one.height <= other.y or other.y + other.height <= one.y


@both
def test_graphviz_draws_every_box_and_every_arrow(explanation, tmp_path):
    draw(explanation, tmp_path / "model.svg")
    root = ET.parse(tmp_path / "model.svg").getroot()
    groups = [group for group in root.iter() if group.tag.endswith("}g")]
    drawn = {kind: [g for g in groups if g.get("class") == kind] for kind in ("node", "edge")}
    graph = graph_of(explanation)
    assert len(drawn["edge"]) == len(graph.arrows)
    titles = [next(t.text for t in g.iter() if t.tag.endswith("}text")) for g in drawn["node"]]
    assert sorted(title.replace("\xa0", " ") for title in titles) == sorted(graph.boxes)


def test_graphviz_makes_a_png(tmp_path):
    draw(PPO, tmp_path / "model.png")
    assert (tmp_path / "model.png").read_bytes().startswith(b"\x89PNG")


# the command line


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_out_writes_one_file_where_it_is_told_and_prints_nothing(here, capsys):
    assert main(["explain", "--out", "model.html"]) == 0
    assert capsys.readouterr().out == ""
    assert [path.name for path in here.iterdir()] == ["model.html"]
    text = html.unescape((here / "model.html").read_text())
    assert "rule `vector`: a vector goes through linear layers" in text
    assert "composer/conf/tuned/cartpole_ppo.yaml" in text


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("model.gif", "valid   .html, .mmd, .png, .svg"),
        ("model", "the suffix names the picture's format"),
        ("no/model.gif", "try     --out no/model.html"),
        ("", "try     --out model.html"),
        ("no/model.mmd", "no/model.mmd cannot be written: No such file or directory"),
        ("taken.mmd", "taken.mmd cannot be written: Is a directory"),
    ],
)
def test_a_picture_that_cannot_be_written_is_one_clear_error(file, says, here, capsys):
    (here / "taken.mmd").mkdir()
    assert main(["explain", "--out", file]) == 2
    assert says in capsys.readouterr().err
    assert [path.name for path in here.iterdir()] == ["taken.mmd"]


def test_without_the_program_dot_the_error_says_what_to_install(here, monkeypatch):
    monkeypatch.setenv("PATH", str(here))
    with pytest.raises(ComposerError, match="whose program `dot` is not on the PATH") as error:
        draw(PPO, here / "model.svg")
    assert "apt-get install graphviz" in str(error.value)
    assert error.value.problems[0].fix == "--out model.html"
    draw(PPO, here / "model.html")
    draw(PPO, here / "model.mmd")


def test_without_the_package_the_error_says_what_to_install(here, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "graphviz", None)
    with pytest.raises(ComposerError, match=r'pip install "rl-composer\[draw\]"'):
        draw(PPO, here / "model.png")
    assert list(here.iterdir()) == []


def test_the_parts_of_a_joint_meet_before_the_actions():
    space = spaces.Dict(gear=spaces.Discrete(4), steer=spaces.Box(-1, 1, (2,), np.float32))
    graph = graph_of(explained(compose(spaces.Discrete(3), space)))
    arrows = {(arrow.source, arrow.target): arrow.gives for arrow in graph.arrows}
    assert [source for source, target in arrows if target == "actions"] == ["distribution"]
    assert ("distribution.gear", "distribution") in arrows
    assert graph.boxes["distribution"].lines[0] == "joint distribution"


def test_each_distribution_of_a_joint_takes_its_own_share_of_the_policy():
    space = spaces.Dict(gear=spaces.Discrete(4), steer=spaces.Box(-1, 1, (2,), np.float32))
    graph = graph_of(explained(compose(spaces.Discrete(3), space)))
    arrows = {(arrow.source, arrow.target): arrow.gives for arrow in graph.arrows}
    assert arrows["policy", "distribution.gear"] == "4"
    assert arrows["policy", "distribution.steer"] == "2"


def test_what_joins_encoders_is_an_encoder():
    space = spaces.Dict(a=spaces.Discrete(3), b=spaces.Discrete(3))
    graph = graph_of(explained(compose(space, spaces.Discrete(2))))
    assert graph.boxes["main.encoder"].lines[0] == "dict encoder"


def test_a_mask_goes_to_the_distribution_and_stands_beside_the_heads():
    space = spaces.Dict(seen=spaces.Discrete(3), action_mask=spaces.MultiBinary(2))
    graph = graph_of(explained(compose(space, spaces.Discrete(2), algorithm="ppo")))
    (mask,) = (name for name, box in graph.boxes.items() if box.title == "action_mask")
    ways = {(arrow.source, arrow.target) for arrow in graph.arrows}
    assert {way for way in ways if mask in way} == {(mask, "distribution")}
    places = layout(graph)
    assert places[mask].x == places["policy"].x
    assert places["obs"].x == 0


def test_a_key_inside_a_key_does_not_look_as_one_of_the_whole_observation():
    choice = spaces.Discrete(3)
    inner = spaces.Dict(left=choice, right=choice)
    space = spaces.Dict(cam=inner, pair=spaces.Tuple((inner, choice)))
    graph = graph_of(explained(compose(space, choice)))
    assert [line.partition(":")[0] for line in graph.boxes["obs"].lines] == ["cam", "pair"]
