"""lift --rep nerf: its scene's maps against closed forms, its surface, its exact restart, a corgi."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from lift_samples import corgi_faults
from nerf_samples import FRONT_AND_RIGHT, LOOK, Nothing

from sdtool import cli
from sdtool.errors import SdtoolError, UsageError
from sdtool.evaluating.solids import corgi_facts
from sdtool.geometry.ccm import to_canonical
from sdtool.lifting import loop, nerf, presets
from sdtool.lifting.config import Phase, override
from sdtool.lifting.guidance import Guidance
from sdtool.lifting.initial import initial_sdf
from sdtool.lifting.lift_files import read_lift
from sdtool.lifting.lift_materials import stored_radiance
from sdtool.lifting.radiance import RadianceScene
from sdtool.lifting.scenes import VanishedError
from sdtool.meshfiles import read_glb
from sdtool.shapes.nerf import hash_radiance, raw_level

PLAN = presets.NERF_TINY_CPU


class Ball(torch.nn.Module):
    """A ball with a sharp edge in the place of a trained field; red where x > 0, else blue."""

    half_extent = 0.6

    def __init__(self, radius: float, middle=(0.0, 0.0, 0.0)):
        super().__init__()
        self.radius, self.middle = radius, torch.tensor(middle)
        self.field = torch.nn.Module()
        self.field.grid = torch.nn.Module()
        self.field.grid.table = torch.nn.Parameter(torch.zeros(1))

    def raw(self, points):
        return (4000 * (self.radius - (points - self.middle).norm(dim=-1))).clamp(-30, 100)

    def density(self, points):
        return 8 * torch.nn.functional.softplus(self.raw(points))

    def forward(self, points):
        red = (points[:, 0] > 0).float()[:, None]
        return self.density(points), torch.cat([red, torch.zeros_like(red), 1 - red], dim=1)

    def with_normal(self, points):
        normal = torch.nn.functional.normalize(points - self.middle, dim=-1)
        return *self(points), normal


def scene_of(field=None, **phase) -> RadianceScene:
    scene = RadianceScene(PLAN, replace(PLAN.phases[0], **phase), "cpu")
    if field is not None:
        scene.field = field
    return scene


def test_maps_of_a_ball():
    scene = scene_of(Ball(0.3, (0.1, 0.0, 0.0)))
    scene.samples = 256
    maps = scene.render(FRONT_AND_RIGHT, math.radians(45), 33, torch.Generator().manual_seed(0))
    low, high = scene.box.corners
    assert torch.allclose(low, torch.tensor([-0.2, -0.3, -0.3]), atol=0.03)
    assert torch.allclose(high, torch.tensor([0.4, 0.3, 0.3]), atol=0.03)
    maps = scene.render(FRONT_AND_RIGHT, math.radians(45), 33)
    assert set(maps) == {"ccm", "rgb", "normal", "backdrop"}
    for name, image in maps.items():
        assert image.shape == (2, 3 if name == "backdrop" else 4, 33, 33), name
    # the ray through the middle of each view meets the ball at its nearest point
    x = math.sqrt(0.3**2 - 0.1**2)
    front, right = maps["ccm"][0, :, 16, 16], maps["ccm"][1, :, 16, 16]
    expected = 2 * (torch.tensor([[0, 0, x], [0.4, 0, 0]]) - low) / (high - low) - 1
    assert torch.allclose(front[:3], expected[0], atol=0.03) and front[3] > 0.999
    assert torch.allclose(right[:3], expected[1], atol=0.03) and right[3] > 0.999
    assert torch.allclose(maps["normal"][1, :3, 16, 16], torch.tensor([1.0, 0, 0]), atol=0.03)
    assert maps["rgb"][1, 0, 16, 16] > 0 and maps["rgb"][1, 2, 16, 16] < -0.9  # red, lit
    assert maps["rgb"][0, 2, 16, 12] > 0 and maps["rgb"][0, 0, 16, 12] < -0.9  # blue at −x
    corner = torch.tensor([0.0, 0, 0, -1])
    for name in ("ccm", "rgb", "normal"):
        assert torch.allclose(maps[name][0, :, 0, 0], corner, atol=1e-5), name
    assert (maps["backdrop"].abs() <= 1).all()


def test_shading_follows_its_shares():
    ball = Ball(0.3)
    generator = torch.Generator().manual_seed(0)
    albedo = scene_of(ball, shading=(1.0, 0.0, 0.0), orient=(0.0, 0.0))
    albedo = albedo.render(FRONT_AND_RIGHT, 0.8, 17, generator)
    assert albedo["rgb"][1, 0, 8, 8] > 0.99 and "normal" not in albedo
    lit = scene_of(ball, shading=(0.0, 1.0, 0.0)).render(FRONT_AND_RIGHT, 0.8, 17, generator)
    assert -0.5 < lit["rgb"][1, 0, 8, 8] < 0.99
    plain = scene_of(ball, shading=(0.0, 0.0, 1.0)).render(FRONT_AND_RIGHT, 0.8, 17, generator)
    assert torch.allclose(plain["rgb"][1, 0], plain["rgb"][1, 2])  # no colour


def test_penalties_have_their_closed_forms():
    scene = scene_of(Ball(0.3), orient=(1.0, 1.0))
    scene.samples = 128
    scene.render(FRONT_AND_RIGHT, 0.8, 17, torch.Generator().manual_seed(0))
    found, coverage = scene.penalties(), scene.seen["coverage"]
    assert found["orient"] < 1e-3  # what is seen faces the eye
    expected = (coverage.square() + 0.01).sqrt().mean()
    assert torch.allclose(found["sparse"], expected) and 0.1 < found["sparse"] < 0.6
    assert 0 < found["opaque"] < 0.1
    scene.field.with_normal = lambda points: (
        *scene.field(points),
        -torch.nn.functional.normalize(points, dim=-1),
    )
    scene.render(FRONT_AND_RIGHT, 0.8, 17, torch.Generator().manual_seed(0))
    assert scene.penalties()["orient"] > 0.05  # turned inside out
    weighed = Phase("x", "radiance", 1, 0.1, orient=(1.0, 3.0), sparse=2.0)
    total = weighed.penalty({"orient": torch.tensor(2.0), "sparse": torch.tensor(5.0)}, 0.5)
    assert total.item() == 2 * 2 + 2 * 5


def test_normals_are_rendered_only_where_the_base_looks():
    seen = {}
    for every, looks in ((1, True), (1, False), (3, True), (3, False)):
        scene = scene_of(Ball(0.3), orient=(1.0, 1.0), ori_every=every)
        scene.field.with_normal = lambda points: (
            *scene.field(points),  # noqa: B023
            -torch.nn.functional.normalize(points, dim=-1),
        )
        scene.base_looks = looks
        maps = scene.render(FRONT_AND_RIGHT, 0.8, 17, torch.Generator().manual_seed(0))
        assert ("normal" in maps) is (looks or every == 1)
        seen[every, looks] = scene.penalties().get("orient"), maps["ccm"]
    assert seen[3, False][0] is None and seen[1, False][0] == seen[1, True][0]
    assert torch.allclose(seen[3, True][0], 3 * seen[1, True][0])  # a third as often
    assert torch.allclose(seen[3, False][1], seen[3, True][1], atol=1e-5)


def test_empty_space_is_skipped_from_the_step_that_the_plan_says():
    scene = scene_of(Ball(0.2))
    scene.plan = replace(PLAN, skip_from=2)
    fractions = []
    for step in range(4):
        scene.render(FRONT_AND_RIGHT, 0.8, 9, torch.Generator().manual_seed(step))
        fractions.append(scene.empty.fraction)
    assert fractions[:2] == [1, 1] and fractions[2] < 0.5 and fractions[3] == fractions[2]


def test_a_fields_gradients_reach_every_parameter():
    scene = scene_of(orient=(1.0, 1.0))
    maps = scene.render(FRONT_AND_RIGHT, 0.8, 12, torch.Generator().manual_seed(0))
    total = sum((value * (1 + torch.arange(value.shape[1])).view(-1, 1, 1)).sum()
                for value in maps.values())  # fmt: skip
    (total + sum(scene.penalties().values())).backward()
    for name, parameter in scene.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_the_surface_of_a_ball():
    scene = scene_of(Ball(0.3, (0.1, 0.0, 0.0)))
    assert 1 < nerf.seen_density(scene, LOOK) <= 800  # somewhere on its edge
    v_pos, faces = nerf.level_set(scene, 0.0, 48)
    radius = (v_pos - scene.field.middle).norm(dim=1)
    assert abs(radius - 0.3).max() < 0.6 * 1.2 / 48 and len(faces) > 1000
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
    assert (edges.unique(dim=0, return_counts=True)[1] == 2).all()  # closed


def test_a_surface_stays_closed_at_the_cubes_wall():
    scene = scene_of(Ball(2.0))
    v_pos, faces = nerf.level_set(scene, 0.0, 12)
    edges = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
    assert (edges.unique(dim=0, return_counts=True)[1] == 2).all()
    assert v_pos.abs().max() < 0.6


def test_nothing_to_see_is_named():
    scene = scene_of(Ball(-1.0))
    with pytest.raises(VanishedError, match="left nothing to see; lower --scale"):
        nerf.seen_density(scene, LOOK)
    scene.render(FRONT_AND_RIGHT, 0.8, 8, torch.Generator())
    assert not torch.isfinite(scene.extent())  # which the loop finds when it looks
    with pytest.raises(VanishedError, match="no surface"):
        nerf.level_set(scene, raw_level(1.0), 8)


@pytest.mark.slow
def test_a_continued_run_ends_with_the_same_bits(tmp_path):
    """Through updates of the empty space, which is part of the checkpoint."""
    phase = replace(PLAN.phases[0], steps=56, size=8, views=2)

    def optimised(scene, **options):
        options = {"start": 0, "adam": None, "strength": 1.0} | options
        loop.optimise(
            scene, Nothing(), phase, LOOK, number=0, seed=3, out=tmp_path,
            on_step=lambda *_: None, **options,
        )  # fmt: skip
        return scene

    whole = optimised(RadianceScene(PLAN, phase, "cpu"))
    assert whole.empty.fraction < 1
    place, tensors, adam = loop.load(tmp_path)  # of step 50
    assert place["step"] == 50
    scene = nerf.restored_scene(0, tensors, PLAN, torch.device("cpu"))
    optimised(scene, start=50, adam=adam)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, scene.state_dict()[name]), name


def test_guidance_sees_both_backgrounds_where_a_base_takes_pictures():
    """Half of the steps show the field's own background, half a grey."""

    class Pictures(Nothing):
        takes_maps = False

        def encode_image(self, image, size=0):
            return image

    guidance = Guidance.__new__(Guidance)
    guidance.base = Pictures()
    rgb = torch.zeros(1, 4, 2, 2)
    rgb[:, 3] = -1
    maps = {
        "rgb": rgb,
        "backdrop": torch.tensor([0.5, -0.25, 0.75]).view(1, 3, 1, 1).expand(1, 3, 2, 2),
    }
    generator, own = torch.Generator().manual_seed(0), 0
    for _ in range(40):
        seen = guidance._base_image(maps, replace(PLAN.phases[0], backdrop=0.5), generator)
        if torch.equal(seen, maps["backdrop"]):
            own += 1
        else:
            assert torch.equal(seen[:, 0], seen[:, 1])
    assert 10 < own < 30


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (["--init", "sphere"], "a radiance field starts from its own blob; use --rep dmtet"),
        (["--appearance", "pbr"], "a radiance field has colours of its own"),
        (["--set", "coarse.shading=[1, 2]"], "it should look like [0.0, 1.0, 0.0]"),
        (["--set", "coarse.shading=[0, 0, 0]"], "one must have a share above 0"),
    ],
)
def test_what_it_cannot_do_is_one_sentence(extra, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.run(["lift", "a corgi", "--rep", "nerf", *extra]) == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def corgi(tmp_path_factory):
    """`sdtool lift "a corgi" --rep nerf`, as the preset preview makes it."""
    out = tmp_path_factory.mktemp("nerf") / "corgi"
    assert (
        cli.run(["lift", "a corgi", "--rep", "nerf", "--preset", "preview", "--out", str(out)]) == 0
    )
    return out


@pytest.mark.slow
def test_a_corgi_is_a_corgi(corgi, tmp_path):
    glb = tmp_path / "corgi.glb"
    assert cli.run(["export", str(corgi), "--out", str(glb), "--texture-size", "0"]) == 0
    assert not corgi_faults(corgi_facts(read_glb(glb)))


@pytest.mark.slow
def test_its_field_paints_it_and_starts_a_surface(corgi):
    lifted = read_lift(corgi)
    points = lifted.mesh.v_pos
    np.testing.assert_allclose(lifted.material(points).base_color, lifted.mesh.v_color, atol=1e-5)
    assert (
        np.abs(lifted.inside(points)).mean() < 0.5
    )  # raw density; inside it is several, outside −8
    sdf = initial_sdf(str(corgi), 48, 0.6).numpy()
    assert (sdf < 0).sum() > 100
    inner = np.argwhere(sdf < 0)[:, ::-1] * (1.2 / 48) - 0.6  # x, y, z of its solid corners
    low, high = lifted.mesh.bounds()
    np.testing.assert_allclose([inner.min(0), inner.max(0)], [low, high], atol=0.05)
    assert to_canonical(lifted.mesh).bounds().max() == pytest.approx(0.5, abs=1e-5)
    card = json.loads((corgi / "stage.json").read_text())
    assert card["params"]["rep"] == "nerf" and card["params"]["settings"]["finest"] == 64


@pytest.mark.slow
def test_a_damaged_field_is_named(corgi, tmp_path):
    from safetensors.torch import load_file, save_file

    spoiled = tmp_path / "spoiled"
    spoiled.mkdir()
    for name in ("stage.json", "shape.safetensors"):
        (spoiled / name).write_bytes((corgi / name).read_bytes())
    tensors = load_file(corgi / "material.safetensors")
    tensors["radiance.field.grid.table"] = torch.zeros(3)
    options = json.dumps({"log2_table": 14, "finest": 64})
    save_file(tensors, spoiled / "material.safetensors",
              {"half": "0.6", "radiance": options, "level": "0"})  # fmt: skip
    with pytest.raises(SdtoolError, match="holds a damaged radiance"):
        read_lift(spoiled)


def test_a_field_of_fewer_levels_is_read_as_it_was_written(tmp_path):
    plan = override(presets.NERF_TINY_CPU, ["levels=3", "finest=32", "log2_table=10"])
    scene = RadianceScene(plan, plan.phases[0], "cpu")
    assert len(scene.field.field.grid.levels) == 3
    tensors, metadata = stored_radiance(scene.field, scene.options, 1.0)
    assert json.loads(metadata["radiance"])["levels"] == 3
    again = hash_radiance(plan.half_extent, **json.loads(metadata["radiance"]))
    again.load_state_dict(
        {name.removeprefix("radiance."): torch.as_tensor(one) for name, one in tensors.items()}
    )
    points = torch.rand(50, 3, generator=torch.Generator().manual_seed(3)) - 0.5
    assert torch.equal(scene.field.density(points), again.density(points))
    with pytest.raises(UsageError, match="levels is 2 or more"):
        override(plan, ["levels=1"])


def test_settings_reach_the_field():
    plan = override(PLAN, ["finest=32", "log2_table=10"])
    scene = RadianceScene(plan, plan.phases[0], "cpu")
    assert len(scene.field.field.grid.table) < len(scene_of().field.field.grid.table)


@pytest.mark.slow
def test_the_preset_paper_runs_both_of_its_phases(tmp_path):
    """At toy size, for the bundled prior."""
    command = [
        "lift",
        "a corgi",
        "--rep",
        "nerf",
        "--preset",
        "paper",
        "--out",
        str(tmp_path / "run"),
    ]
    settings = [
        "coarse.steps=3",
        "coarse.views=2",
        "coarse.size=16",
        "fine.steps=2",
        "fine.views=1",
    ]
    settings += ["fine.size=24", "samples=32", "tet_resolution=16", "log2_table=10", "finest=32"]
    command += [part for setting in settings for part in ("--set", setting)]
    assert cli.run(command) == 0
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["phase"] for line in log] == ["coarse"] * 3 + ["fine"] * 2
    assert "ori" not in log[0] and all("align" in line for line in log)  # the AGP leads alone
    assert "ori" in log[1] and "ori" in log[4]
    assert read_lift(tmp_path / "run").inside is not None
