"""A whole collection of meshes into folders of pictures, one for each object, as CRM trains on them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sdtool.errors import ObjectError
from sdtool.geometry.cameras import ViewRange
from sdtool.io.failures import failure
from sdtool.io.files import atomic_file
from sdtool.io.objects import ObjectRecord
from sdtool.meshfiles.limits import Limits
from sdtool.rendering.crm import ANGLES, draw
from sdtool.rendering.views import ViewSettings, canonical_object
from sdtool.runtime.engine import map_items

NAMES = [f"{kind}{k:03d}.png" for k in range(len(ANGLES)) for kind in ("", "xyz_new_")]
OWNED = ("*/00[0-5].png", "*/xyz_new_00[0-5].png")
"""Patterns of all that is written here."""


@dataclass(frozen=True)
class CrmSettings:
    """What all objects share: as `sdtool.rendering.views.ViewSettings` has it."""

    size: int
    supersample: int
    limits: Limits
    surface_points: str = ""


def write_collection(
    out: Path,
    settings: CrmSettings,
    items: Sequence[ObjectRecord],
    yaws: dict[str, float],
    **options: Any,
) -> Iterator[dict[str, str] | None]:
    """Write the folder of each object that has no whole one; yield for each its failure's record, or None.

    yaws: uid → degrees, as `canonical_object` takes them. options: those of `map_items`.
    """
    jobs = ((item.uid, item.path, yaws.get(item.uid, 0.0)) for item in items)
    for (uid, _, _), outcome in map_items(partial(_write, out, settings), jobs, **options):
        yield failure(uid, outcome) if isinstance(outcome, ObjectError) else None


def _write(out: Path, settings: CrmSettings, job: tuple[str, str | None, float]) -> None:
    uid, path, yaw = job
    if not re.fullmatch(r"[^/\\\0.][^/\\\0]*", uid):
        raise ObjectError("bad-name", f"the uid {uid} is no name of a folder, which CRM needs")
    folder = out / uid
    if all((folder / name).is_file() for name in NAMES):
        return
    views = ViewSettings(
        0, settings.size, settings.supersample, ViewRange(), ("rgb",), False, 0,
        settings.limits, 0.0, settings.surface_points,
    )  # fmt: skip
    mesh, _ = canonical_object(views, uid, path, yaw)
    for name, data in draw(mesh, settings.size, settings.supersample).items():
        with atomic_file(folder / name) as file:
            file.write(data)
