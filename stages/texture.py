"""Paint a mesh that you have from a line of text.

MESH is a .glb, .gltf, .vrm or .obj. Its geometry, nodes, names, skins and animations stay; new are its
textures, as the prompt asks for them. The painted copy has the mesh's own name and lies in the directory
`--out`, beside `views.png` and `turntable.webp`.

The priors know things that stand upright and face +Z. `--yaw` turns yours for them, about +Y; in the
file it stays as it stands.

Texture coordinates stay where each texel shows one place of the surface. Where there are none, where
they overlap or leave the square from 0 to 1, as those of palettes and tiles do, the material is unwrapped
anew, which is said. A glTF file then keeps its former coordinates as a further set.

By default a colour prior guides plain colours, by where on the object each pixel lies; `--color-prior none`
leaves them to the base. `--appearance pbr` paints base colour, roughness and metal under a light.
Every material of the file gets textures of its own, of `--texture-size` pixels a side.

The same command continues an interrupted run. A .gltf becomes a .glb, which holds all of it.

Examples:

    sdtool texture chair.glb "a red chair"

    sdtool texture chair.glb "a wooden chair" --yaw 90 --out runs/wooden   # it faces -X: turn it to +Z

    sdtool texture house.obj "a golden house" --appearance pbr --texture-size 512
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sdtool.errors import InputError, UsageError
from sdtool.io import stage_record
from sdtool.runtime.options import (
    LARGEST_TEXTURE,
    LEAST_TEXTURE,
    Agp,
    Appearance,
    Base,
    ColorPrior,
    Device,
    Environment,
    Negative,
    Overwrite,
    Precision,
    Seed,
    ViewPrompts,
)

SUFFIXES = (".glb", ".gltf", ".vrm", ".obj")


def texture(
    mesh: Annotated[Path, typer.Argument(help="File to paint: .glb, .gltf, .vrm or .obj.")],
    prompt: Annotated[str, typer.Argument(help="What it is to look like, e.g. 'a red chair'.")],
    out: Annotated[
        Path | None, typer.Option(help="Directory for the result; default: runs/MESH-PROMPT.")
    ] = None,
    yaw: Annotated[
        float,
        typer.Option(
            min=-360, max=360, help="Degrees about +Y that turn its front to +Z, for the priors."
        ),
    ] = 0.0,
    texture_size: Annotated[
        int,
        typer.Option(min=LEAST_TEXTURE, max=LARGEST_TEXTURE, help="Pixels a side of each texture."),
    ] = 1024,
    agp: Agp = "tiny",
    base: Base = "",
    color_prior: ColorPrior = "",
    preset: Annotated[
        Literal["tiny-cpu", "preview", "paper"],
        typer.Option(help="preview: worse, quicker. paper: for Stable Diffusion, pbr."),
    ] = "tiny-cpu",
    appearance: Appearance = "",
    environment: Environment = "neutral",
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change a setting: color.steps=200. Repeatable."
        ),
    ] = None,
    scale: Annotated[
        float, typer.Option(min=0, help="Factor on the guidance scale of the preset.")
    ] = 1.0,
    view_prompts: ViewPrompts = None,
    negative: Negative = "",
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "auto",
    overwrite: Overwrite = False,
) -> stage_record.Result:
    _check(mesh, prompt)
    from sdtool.priors.bundled import chosen_color_prior

    color = chosen_color_prior(color_prior, agp, preset)
    plan = _plan(preset, appearance, color, environment, settings)
    from sdtool.lifting.folders import slug
    from sdtool.lifting.lift_priors import HALF
    from sdtool.priors.folder_check import check_local
    from sdtool.runtime.devices import choose_device
    from sdtool.texturing.run import Texturing

    check_local(base)
    place = choose_device(device)
    usual = "fp32" if place.type == "cpu" else HALF
    texturing = Texturing(
        rep="dmtet",
        agp=agp,
        base=base,
        preset=preset,
        plan=plan,
        lambda_ori=1.0,
        lambda_align=1.0,
        scale=scale,
        by_view=view_prompts,
        negative=negative,
        seed=seed,
        overwrite=overwrite,
        device=str(place),
        precision=usual if precision == "auto" else precision,
        asked=precision != "auto",
        color=color if plan.phases[-1].guide == "color" else "",
        mesh=mesh,
        yaw=yaw,
        texture_size=texture_size,
    )
    return texturing((prompt, out or Path("runs") / (slug(f"{mesh.stem} {prompt}") or "texture")))


def in_full(options: dict[str, Any]) -> dict[str, Any]:
    """What `--print-config` shows of `--set`: every setting of the phase."""
    from sdtool.lifting.config import settings_of
    from sdtool.priors.bundled import chosen_color_prior
    from sdtool.texturing.run import SETTINGS

    color = chosen_color_prior(*(options[name] for name in ("color_prior", "agp", "preset")))
    names = ("environment", "settings")
    plan = _plan(options["preset"], options["appearance"], color, *(options[n] for n in names))
    found = settings_of(plan)
    phase = plan.phases[-1].name
    return {"settings": {k: v for k, v in found.items() if k in (*SETTINGS, phase)}}


def _plan(preset: str, appearance: str, color: str, environment: str, settings: list[str] | None):
    """The one phase and its settings, as the options ask for them."""
    from sdtool.lifting.config import override
    from sdtool.texturing.run import check_settings, plan_for

    check_settings(settings or [])
    return override(plan_for(preset, appearance, bool(color), environment), settings or [])


def _check(mesh: Path, prompt: str) -> None:
    """An error if there is nothing to paint, or nothing to paint it by."""
    if not prompt.strip():
        raise UsageError('the prompt is empty; try: sdtool texture MESH "a red chair"', "PROMPT")
    if mesh.suffix.lower() not in SUFFIXES:
        if (mesh / stage_record.DONE).is_file():
            said = f"{mesh} is a stage's directory; export a lift first (sdtool export {mesh}), or name"
            raise UsageError(f"{said} a mesh in it", "MESH")
        kinds = ", ".join(SUFFIXES)
        raise UsageError(f"{mesh} is not one of {kinds}; convert it to .glb", "MESH")
    if not mesh.is_file():
        what = "is a folder" if mesh.is_dir() else "does not exist"
        raise InputError(f"{mesh} {what}; name the file of a mesh")
