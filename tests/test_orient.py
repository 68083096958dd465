"""The command orient: its three methods, its table for render-ccm, and what it leaves alone."""

from pathlib import Path

import numpy as np
import pytest
import torch
from assets import ASSETS
from orient_models import write_orient_anything
from PIL import Image
from safetensors import safe_open
from shape_samples import box
from turned_toys import score, turn_some

from sdtool.cli import run
from sdtool.errors import InputError, ObjectError
from sdtool.geometry.cameras import ViewRange, rotate_y
from sdtool.geometry.meshes import merge
from sdtool.io.files import read_json, read_jsonl, write_json, write_jsonl
from sdtool.io.objects import ObjectRecord, iter_objects
from sdtool.io.yaw_fix import read_yaw_fix
from sdtool.meshfiles import write_glb
from sdtool.orienting.by_agp import by_errors, probabilities, prompt_of, turn_errors
from sdtool.orienting.by_model import by_pictures
from sdtool.orienting.by_table import Facing, by_table, read_facings
from sdtool.orienting.orient_anything import OrientAnything, load_orient_anything
from sdtool.orienting.turned import TurnSettings, turned_maps

RIGHT_TURNS = Path(__file__).with_name("kaykit_turns.json")
SMALL = TurnSettings(turns=4, views=4, size=16, supersample=2)


pytestmark = pytest.mark.usefixtures("in_a_folder")


def seat(turn=0.0):
    """A chair's seat and back, which faces +Z, turned by so many degrees."""
    mesh = merge([box([-1, 0, -1], [1, 1, 1]), box([-1, 1, -1], [1, 3, -0.7])])
    return mesh.with_positions(rotate_y(mesh.v_pos, np.radians(turn)))


def write_seats(folder, turns):
    """Write seat-TURN.glb for each turn; return the folder."""
    for turn in turns:
        write_glb(Path(folder) / f"seat-{turn}.glb", seat(turn))
    return folder


def entry(path, uid="seat"):
    return 0, ObjectRecord(uid, str(path))


def orient(*arguments):
    """The exit code of `sdtool orient …` in this process."""
    return run(["orient", *map(str, arguments), "--workers", "1", "--device", "cpu"])


# By the AGP


def test_turned_maps_show_the_same_sides_with_other_coordinates():
    write_glb("seat.glb", seat())
    maps, c2w = turned_maps(SMALL, entry("seat.glb"))
    assert maps.shape == (4, 4, 4, 16, 16) and c2w.shape == (4, 4, 4, 4)
    for turned in maps[1:]:
        np.testing.assert_allclose(turned[:, 3], maps[0, :, 3], atol=1e-5)
        np.testing.assert_allclose(turned[:, 1], maps[0, :, 1], atol=1e-4)  # height is height
    # By 90° what was z is x: the front, at 1 of z, is then at 1 of x.
    np.testing.assert_allclose(maps[1, :, 0], maps[0, :, 2], atol=1e-4)
    # View 0 at 90° is where view 1 is at 0°: the cameras are those of four sides each time.
    np.testing.assert_allclose(c2w[1, 0], c2w[0, 1], atol=1e-6)


class Knowing:
    """A prior that knows the maps of one object from its cameras, and takes everything for that object."""

    device = torch.device("cpu")
    alphas_cumprod = torch.linspace(0.99, 0.01, 100)

    def __init__(self, maps, c2w):
        self.maps, self.c2w = torch.from_numpy(maps), torch.from_numpy(c2w)

    def encode_map(self, maps):
        return maps

    def encode_text(self, prompts):
        return torch.zeros(len(prompts), 1, 1)

    def add_noise(self, x, noise, t):
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        return a.sqrt() * x + (1 - a).sqrt() * noise

    def predict_noise(self, x, t, text, c2w):
        a = self.alphas_cumprod[t].view(-1, 1, 1, 1)
        nearest = torch.cdist(c2w.flatten(1), self.c2w.flatten(1)).argmin(dim=1)
        return (x - a.sqrt() * self.maps[nearest]) / (1 - a).sqrt()


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_a_prior_that_knows_the_object_finds_its_turn(turn):
    write_glb("right.glb", seat())
    write_glb("turned.glb", seat(turn))
    maps, c2w = turned_maps(SMALL, entry("right.glb"))
    prior = Knowing(maps[0], c2w[0])
    found = (torch.from_numpy(part) for part in turned_maps(SMALL, entry("turned.glb")))
    error = turn_errors(prior, *found, "a seat", 0, "seat", batch=3)
    line = by_errors("seat", SMALL, error, "a seat")
    assert line["degrees"] == (360 - turn) % 360
    assert line["confidence"] > 0.99 and error.min() < 1e-8


def test_probabilities_are_those_of_a_softmax_of_relative_errors():
    # Errors 1 and 1 + T·ln 3: the second is three times less probable.
    error = np.array([2.0, 2.0 * (1 + 0.5 * np.log(3))])
    np.testing.assert_allclose(probabilities(error, 0.5), [0.75, 0.25])
    np.testing.assert_allclose(probabilities(1000 * error, 0.5), [0.75, 0.25])


def test_an_object_that_looks_alike_from_two_sides_is_not_sure():
    line = by_errors("table", SMALL, np.array([1.0, 9.0, 1.0, 9.0]), "a table")
    assert line["confidence"] == 0.5
    assert isinstance(by_errors("a", SMALL, np.full(4, np.nan), ""), ObjectError)


def test_names_are_prompts_where_there_are_no_captions():
    assert prompt_of(ObjectRecord("1", None, name="Red_Chair"), 0) == "a red chair"
    assert prompt_of(ObjectRecord("1", None), 0) == ""


@pytest.mark.slow
def test_the_tiny_agp_puts_a_toy_right():
    assert run(["toyverse", "--out", "objs", "--count", "2", "--seed", "70"]
               + ["--bad-share", "0", "--categories", "corgi"]) == 0  # fmt: skip
    needed = turn_some("objs", "turned", share=1.0, turns=(180,))
    assert run(["caption", "objs", "--out", "captions"]) == 0
    ask = ("turned", "--captions", "captions", "--out", "oriented", "--turns", 2, "--views", 1)
    assert orient(*ask) == 0
    assert set(needed.values()) == {180}
    assert score("oriented", needed) == {
        "objects": 2,
        "facing another way": 2,
        "turned": 2,
        "precision": 1.0,
        "recall": 1.0,
        "best turn is right": 1.0,
    }
    assert Image.open("oriented/preview.png").size == (320, 2 * 176)
    assert read_json("oriented/stage.json")["counts"]["turned"] == 2
    # Asked again it does nothing; asked more strictly it refuses to mix.
    assert orient(*ask) == 0
    assert orient(*ask, "--min-confidence", 0.99) == 2


# By a table

ORIENTEXT = [
    {
        "point": f"pcs/seat-{turn}.pt",
        "conversations": [{"from": "human", "value": f"<point>\n{what} of the seat"}],
        "direction": direction,
    }
    for turn, what, direction in [
        (0, "handle", [1.0, 0.0, 0.0]),
        (0, "front", [0.0, -1.0, 0.0]),  # Blender's frame: a glTF front is at -Y
        (90, "front", [1.0, 0.0, 0.0]),
        (180, "front", [0.0, 1.0, 0.02]),
        (270, "front", [0.0, 0.0, 1.0]),  # its top
        (5, "front", [0.0, -1.0, 0.0]),
        (6, "front", [0.0, -1.0, 0.0]),
    ]
]


def test_a_table_of_which_nothing_is_a_direction_is_named(capsys):
    write_json("table.json", {"seat-0": "up there", "seat-90": None})
    write_seats("objs", (0, 90))
    ask = ("objs", "--by", "table", "--table", "table.json", "--out", "oriented")
    assert orient(*ask) == 1
    assert "none of the 2 directions in table.json says" in capsys.readouterr().err


def test_a_table_in_the_layout_of_orientext(capsys):
    write_json("OrienText300K.json", ORIENTEXT)
    write_seats("objs", (0, 90, 180, 270, 45))
    ask = ("objs", "--by", "table", "--table", "OrienText300K.json", "--out", "oriented")
    assert orient(*ask) == 0
    assert read_yaw_fix("oriented") == {"seat-90": 270.0, "seat-180": 180.0}
    lines = {line["uid"]: line for line in read_jsonl("oriented/orientations.jsonl")}
    assert lines["seat-0"]["degrees"] == 0 and lines["seat-0"]["confidence"] == 1
    assert lines["seat-270"]["source"] == "no-direction"
    assert lines["seat-45"]["source"] == "not-in-table" and lines["seat-45"]["confidence"] == 0
    said = capsys.readouterr().err
    assert "2 of its 6 uids are of no object here (seat-5, seat-6)" in said
    assert "to be turned: 2 of 5 objects; unsure, and left as they are: 2" in said


def test_what_the_table_turns_has_the_maps_of_what_faces_z():
    write_seats("right", (0,))
    write_glb("turned/seat-0.glb", seat(90))
    write_json("table.json", {"seat-0": 90})  # its front is at +X
    assert orient("turned", "--by", "table", "--table", "table.json", "--out", "oriented") == 0
    views = ("--size", "16", "--views", "2", "--supersample", "1", "--workers", "1")
    assert run(["render-ccm", "right", "--out", "a", *views]) == 0
    assert run(["render-ccm", "turned", "--yaw-fix", "oriented", "--out", "b", *views]) == 0
    a, b = (safe_open(f"{f}/ccm-00000.safetensors", "numpy").get_tensor("ccm") for f in "ab")
    np.testing.assert_allclose(a.astype(np.float32), b.astype(np.float32), atol=2e-3)


@pytest.mark.parametrize(
    ("value", "up", "azimuth"),
    [
        (90, "z", 90.0),
        (-90.0, "y", 270.0),
        ({"direction": [0, 0, 1]}, "y", 0.0),
        ({"direction": [1, 0, 1]}, "y", 45.0),
        ([[1, 0, 0]], "z", 90.0),
        ([0, 1, 0], "z", 180.0),
        ([0, 1, 0], "y", None),
        ([0, 0, 0], "y", None),
        ([0, float("nan"), 1], "y", None),
        ("front", "y", None),
        (None, "y", None),
        (True, "y", None),
        ({"direction": 0, "confidence": 7}, "y", None),
    ],
)
def test_directions_as_people_write_them(value, up, azimuth):
    write_json("table.json", {"a": value})
    facing = read_facings(Path("table.json"), up)["a"]
    assert facing is None if azimuth is None else facing.azimuth == pytest.approx(azimuth)


@pytest.mark.parametrize("table", [[], {}, 7, [{"uid": "a"}], [["a", 90]], "front"])
def test_other_tables_are_refused(table):
    write_json("table.json", table)
    with pytest.raises(InputError, match=r"table.json.*OrienText300K"):
        read_facings(Path("table.json"))


def test_a_table_of_another_kind_is_told_which_are_taken():
    Path("bom.csv").write_bytes(b"\xef\xbb\xbfuid,front\na,90\n")
    with pytest.raises(
        InputError, match=r"bom.csv is not valid JSON .* as OrienText300K has it, a list"
    ):
        read_facings(Path("bom.csv"))
    with pytest.raises(InputError, match=r"^nowhere.json does not exist$"):
        read_facings(Path("nowhere.json"))


def test_a_table_is_asked_for(capsys):
    write_seats("objs", (0,))
    assert orient("objs", "--by", "table", "--out", "oriented") == 2
    assert "--by table needs --table" in capsys.readouterr().err
    assert orient("objs", "--table", "table.json", "--out", "oriented") == 2  # not silently unread
    assert "--table is for --by table" in capsys.readouterr().err
    assert not Path("oriented").exists()


# What is not sure


@pytest.mark.parametrize(("least", "turned"), [(0.5, {"a", "b"}), (0.9, {"b"}), (1.0, set())])
def test_nothing_is_turned_that_is_not_sure(least, turned):
    for uid in "abc":
        write_glb(f"objs/{uid}.glb", seat())
    table = {"a": {"direction": 90, "confidence": 0.7}, "b": {"direction": 90, "confidence": 0.9}}
    write_json("table.json", table | {"c": 0})
    ask = ("objs", "--by", "table", "--table", "table.json", "--out", "oriented")
    assert orient(*ask, "--min-confidence", least) == 0
    assert set(read_yaw_fix("oriented")) == turned
    assert len(list(read_jsonl("oriented/orientations.jsonl"))) == 3


def test_many_ranks_write_one_table():
    write_seats("objs", (0, 90, 180))
    write_json("table.json", {"seat-0": 0, "seat-90": 90, "seat-180": 180})
    ask = ("objs", "--by", "table", "--table", "table.json", "--out", "oriented", "--world-size", 2)
    assert orient(*ask, "--rank", 0) == 0
    with pytest.raises(InputError, match="lacks rank 1 of 2"):
        read_yaw_fix("oriented")
    assert orient(*ask, "--rank", 1) == 0
    assert read_yaw_fix("oriented") == {"seat-90": 270, "seat-180": 180}


def test_a_folder_without_a_table_is_said():
    Path("ccm").mkdir()
    with pytest.raises(InputError, match="make it with: sdtool orient"):
        read_yaw_fix("ccm")


# By a model


def seen_from(front, views):
    """(views, 360) log-probabilities of a model that is sure of an object's front, in degrees."""
    logits = torch.full((views, 360), -20.0)
    for view in range(views):
        logits[view, round(view * 360 / views - front) % 360] = 0.0
    return logits.log_softmax(-1)


@pytest.mark.parametrize(("front", "degrees"), [(0, 0), (90, 270), (180, 180), (290, 90)])
def test_what_is_seen_in_pictures_from_all_around_is_put_together(front, degrees):
    line = by_pictures("a", seen_from(front, 4), torch.full((4,), 0.8), turns=4)
    assert line["degrees"] == degrees
    assert line["confidence"] == pytest.approx(0.8, abs=1e-3)  # how probable it is that it has one


def test_a_model_that_sees_nothing_is_not_sure():
    flat = torch.zeros(4, 360).log_softmax(-1)
    assert by_pictures("a", flat, torch.ones(4), turns=4)["confidence"] == pytest.approx(0.25)
    bad = by_pictures("a", flat * torch.nan, torch.ones(4), turns=4)
    assert isinstance(bad, ObjectError)


def test_a_model_of_the_published_interface():
    made = write_orient_anything("model")
    model = load_orient_anything("model", torch.device("cpu"))
    names = set(model.state_dict())
    assert {"down_sampler.net1.0.weight", "down_sampler.net2.1.running_var"} <= names
    assert "dinov2.embeddings.cls_token" in names
    images = np.random.default_rng(0).integers(0, 255, (2, 224, 224, 3)).astype(np.uint8)
    azimuths, has_front = model(images)
    assert azimuths.shape == (2, 360) and has_front.shape == (2,)
    torch.testing.assert_close(azimuths.exp().sum(-1), torch.ones(2))
    torch.testing.assert_close(azimuths, made(images)[0])


def test_the_command_with_a_model():
    write_orient_anything("model", outputs=902)
    write_seats("objs", (0,))
    assert orient("objs", "--by", "model", "--model", "model", "--views", 2, "--out", "o") == 0
    (line,) = read_jsonl("o/orientations.jsonl")
    assert line["source"] == "model" and 0 <= line["confidence"] < 0.9
    assert read_yaw_fix("o") == {}


def test_a_stopped_run_continues_and_a_broken_file_is_a_failure(monkeypatch):
    write_orient_anything("model")
    write_seats("objs", (0, 90, 180))
    Path("objs/broken.glb").write_bytes(b"glTF")
    looked, forward = [], OrientAnything.forward

    def stops_at_the_third(model, images):
        looked.append(len(images))
        if len(looked) == 3:
            raise KeyboardInterrupt
        return forward(model, images)

    monkeypatch.setattr(OrientAnything, "forward", stops_at_the_third)
    ask = ("objs", "--by", "model", "--model", "model", "--views", 1, "--out", "o", "--previews", 1)
    assert orient(*ask) == 130
    assert not Path("o/stage.json").exists()
    assert orient(*ask) == 3
    assert len(looked) == 4  # the two that were looked at are not looked at again
    assert [line["uid"] for line in read_jsonl("o/failures.jsonl")] == ["broken"]
    assert len(list(read_jsonl("o/orientations.jsonl"))) == 3
    assert read_json("o/stage.json")["counts"]["failed"] == 1


def test_a_model_that_is_none_is_said():
    Path("pickled").mkdir()
    Path("pickled/dino_weight.pt").touch()
    with pytest.raises(
        InputError, match=r"lacks config.json and model.safetensors.*\.pt file is not"
    ):
        load_orient_anything("pickled", torch.device("cpu"))
    write_orient_anything("few", outputs=10)
    with pytest.raises(InputError, match="has 10 outputs"):
        load_orient_anything("few", torch.device("cpu"))
    with pytest.raises(InputError, match="is not a folder"):
        load_orient_anything("./nowhere", torch.device("cpu"))


# Models of other makers


@pytest.mark.skipif(not (ASSETS / "kaykit").is_dir(), reason="the folder of real models is absent")
def test_the_directions_that_were_read_by_eye_are_of_models_there():
    known = read_json(RIGHT_TURNS)
    assert set(known) <= {item.uid for item in iter_objects(ASSETS / "kaykit")}
    assert known["chair"] == 90  # the dungeon's chair faces −X
    assert set(known.values()) == {0, 90, 180, 270}


@pytest.mark.slow
@pytest.mark.skipif(not (ASSETS / "kaykit").is_dir(), reason="the folder of real models is absent")
def test_the_chair_that_its_maker_left_is_put_right_and_others_stay():
    asked = {"chair", "chair_A", "car_sedan", "chest", "shield_round"}
    known = {uid: turn for uid, turn in read_json(RIGHT_TURNS).items() if uid in asked}
    found = [item for item in iter_objects(ASSETS / "kaykit") if item.uid in asked]
    write_jsonl("objects.jsonl", [{"uid": i.uid, "path": i.path, "name": i.name} for i in found])
    assert orient("objects.jsonl", "--out", "oriented") == 0
    assert read_yaw_fix("oriented") == {"chair": 90}
    assert score("oriented", known)["precision"] == 1.0


def test_facing_of_nothing_is_not_sure():
    assert by_table("a", {"a": None})["confidence"] == 0
    assert by_table("a", {"a": Facing(90, 0.5)})["degrees"] == 270
    assert TurnSettings(8).degrees() == [0, 45, 90, 135, 180, 225, 270, 315]
    assert TurnSettings().camera == ViewRange()
