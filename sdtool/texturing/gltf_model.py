"""A glTF file to be painted: its primitives as pieces, its materials as sheets, and the patched copy."""

import copy
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.errors import ObjectError, OutOfMemoryError
from sdtool.geometry.meshes import Texture
from sdtool.geometry.surfaces import ROUGHNESS
from sdtool.meshfiles.accessors import GlbFile
from sdtool.meshfiles.gltf_tree import MISTYPED
from sdtool.meshfiles.limits import Limits
from sdtool.meshfiles.materials import GLOSSY, material_of
from sdtool.meshfiles.patching import UV, GltfPatch
from sdtool.meshfiles.primitives import TRIANGLES, Primitive
from sdtool.meshfiles.scene import Placement, placements
from sdtool.meshfiles.skins import bend, influences
from sdtool.meshfiles.textures import TRANSFORM, TextureReader, texture_coordinates
from sdtool.texturing.pieces import Layout, Paint, Piece

VARIANTS = "KHR_materials_variants"
ABOUT_LOOKS = ("emissiveTexture", "emissiveFactor")
"""What a material loses, beside the images that are replaced: they belong to its former look."""


class GltfModel:
    """The triangles of a file's default scene: see `sdtool.texturing.pieces.Model`.

    A mesh that stands in several places is one piece, painted where it stands first: the copies look the
    same. A skinned or morphed mesh is painted in the pose that the file's nodes stand in. ObjectErrors as
    `sdtool.meshfiles.read_glb` has them.
    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self.file = GlbFile(path, Limits())
            with np.errstate(all="ignore"):  # what overflows is found as non-finite
                self._read()
        except ObjectError:
            raise
        except MISTYPED as error:
            what = f"{type(error).__name__}, {str(error)[:99]}"
            raise ObjectError("corrupt-file", f"{path} is damaged: {what}") from None
        except MemoryError:
            raise OutOfMemoryError(f"{path} does not fit into memory") from None

    def _read(self) -> None:
        """Find the primitives and where they stand."""
        file = self.file
        self.primitives: dict[tuple[int, int], Primitive] = {}
        places: dict[tuple[int, int], list[np.ndarray]] = {}
        faces: dict[tuple[int, int], np.ndarray] = {}
        triangles = 0
        for place in placements(file):
            mesh = file.entry("meshes", place.mesh)
            for k, record in enumerate(file.items(mesh, "primitives")):
                mode, key = file.integer(record, "mode", TRIANGLES), (place.mesh, k)
                if mode < TRIANGLES or "POSITION" not in file.child(record, "attributes"):
                    continue
                if key not in faces:
                    self.primitives[key] = _checked(Primitive(file, record))
                    faces[key] = self.primitives[key].triangles(mode)
                triangles += len(faces[key]) * len(place.matrices)
                if triangles > file.limits.triangles:
                    raise file.too_large(f"{triangles} triangles", f"{file.limits.triangles}")
                if len(faces[key]):
                    placed = _placed(self.primitives[key], mesh, place)
                    places.setdefault(key, []).append(placed)
        GltfPatch(file)  # what cannot be written is found before any work
        self.keys = list(places)
        worn = [self.primitives[key].record.get("material") for key in self.keys]
        self.materials: list[int | None] = list(dict.fromkeys(worn))
        records = [{} if m is None else file.entry("materials", m) for m in self.materials]
        self.sheets = [
            str(record.get("name", "without a material" if m is None else f"material {m}"))
            for m, record in zip(self.materials, records, strict=True)
        ]
        images = TextureReader(file)
        self.pieces: list[Piece] = []
        self.cutouts: list[Texture | None] = [None] * len(self.sheets)
        for key, material in zip(self.keys, worn, strict=True):
            sheet, primitive = self.materials.index(material), self.primitives[key]
            v_uv = _coordinates(primitive, _set_of(file, records[sheet]))
            image, v_cut = _cut(primitive, images)
            self.cutouts[sheet] = self.cutouts[sheet] or image
            placed = np.concatenate(places[key])
            self.pieces.append(Piece(placed, faces[key], v_uv, sheet, v_cut))

    def outputs(self, pbr: bool) -> tuple[str, ...]:
        """One GLB, whatever the file was; a .vrm stays one."""
        suffix = ".vrm" if self.path.suffix.lower() == ".vrm" else ".glb"
        return (f"{self.path.stem}{suffix}",)

    def painted(self, layouts: list[Layout], paints: list[Paint]) -> dict[str, bytes]:
        """The file with new materials' images; coordinates are added where a layout is new."""
        patch = GltfPatch(self.file)
        for sheet, paint in enumerate(paints):
            here = [k for k, piece in enumerate(self.pieces) if piece.sheet == sheet]
            is_new = layouts[here[0]].origin is not None
            material = self._material(patch, sheet, paint, is_new)
            for k in here:
                mesh, index = self.keys[k]
                record = patch.tree["meshes"][mesh]["primitives"][index]
                self._wear(patch, record, self.primitives[self.keys[k]], layouts[k], material)
        return {self.outputs(False)[0]: patch.encoded()}

    def _wear(
        self,
        patch: GltfPatch,
        record: dict[str, Any],
        primitive: Primitive,
        layout: Layout,
        material: int,
    ) -> None:
        """Dress a primitive of the patched tree."""
        if layout.origin is not None:
            patch.recoordinate(record, primitive, layout.origin, layout.v_uv, layout.faces)
        record["material"] = material
        attributes = record["attributes"]
        if (
            "COLOR_0" in attributes
        ):  # would tint the new texture; under this name nobody looks at it
            attributes["_COLOR_0"] = attributes.pop("COLOR_0")
        if record.get("extensions", {}).pop(VARIANTS, None) is not None:
            record["extensions"] or record.pop("extensions")

    def _material(self, patch: GltfPatch, sheet: int, paint: Paint, is_new: bool) -> int:
        """The number of the sheet's material in the patched tree: the former one, changed, or a copy of it
        where others wear it too."""
        number, name = self.materials[sheet], self.sheets[sheet]
        old = {} if number is None else self.file.entry("materials", number)
        made = copy.deepcopy(old)
        if is_new:
            _shift_sets(made)
        for key in ABOUT_LOOKS:
            made.pop(key, None)
        if made.get("extensions", {}).pop(GLOSSY, None) is not None:
            made["extensions"] or made.pop("extensions")
        former = made.get("pbrMetallicRoughness", {})
        factor = former.get("baseColorFactor", [])
        alpha = factor[3] if isinstance(factor, list) and len(factor) == 4 else 1.0
        at = {"texCoord": 0 if is_new else _set_of(self.file, old)}
        values = {
            **{k: v for k, v in former.items() if k in ("extensions", "extras")},
            "baseColorFactor": [1.0, 1.0, 1.0, alpha],
            "baseColorTexture": {
                "index": patch.texture(f"{name} base color", paint.base_color),
                **at,
            },
        }
        if paint.metallic_roughness is None:
            values |= {"metallicFactor": 0.0, "roughnessFactor": ROUGHNESS}
        else:
            image = paint.metallic_roughness
            index = patch.texture(f"{name} metallic roughness", image)
            values["metallicRoughnessTexture"] = {"index": index, **at}
        made["pbrMetallicRoughness"] = values
        if number is None or self._worn_by_others(number):
            return patch.material(made)
        patch.tree["materials"][number] = made
        return number

    def _worn_by_others(self, number: int) -> bool:
        """Whether primitives that are not painted (of no scene, or lines) have this material, too."""
        for index, mesh in enumerate(self.file.items(self.file.tree, "meshes")):
            for k, record in enumerate(self.file.items(mesh, "primitives")):
                if record.get("material") == number and (index, k) not in self.keys:
                    return True
        return False


def _checked(primitive: Primitive) -> Primitive:
    """The primitive, if all its arrays are there and as long as its positions; else ObjectError."""
    file, last = primitive.file, np.array([primitive.count - 1])
    for name in primitive.accessors if primitive.count else ():
        primitive.attribute(name, 1, last)
    for target in file.items(primitive.record, "targets"):
        for index in target.values():
            if file.count(index) != primitive.count:
                raise file.corrupt("a morph target does not move every vertex")
            file.stored(index, last)
    return primitive


def _placed(primitive: Primitive, mesh: dict[str, Any], place: Placement) -> np.ndarray:
    """(N, V, 3) float64 of a primitive's vertices in the scene, for each of its N places there."""
    file = primitive.file
    weights = place.weights
    if weights is None:
        weights = tuple(file.numbers(mesh, "weights", [0] * len(file.items(mesh, "weights"))))
    v_pos = primitive.attribute("POSITION", 3, None).astype(np.float32)
    v_pos = primitive.morphed(v_pos, weights, None)
    joints = primitive.numbered("JOINTS", None) if place.joints is not None else []
    if joints:
        assert place.joints is not None  # as joints are read for a skin only
        joint, weight = influences(file, joints, primitive.numbered("WEIGHTS", None))
        if joint.max() >= len(place.joints):
            raise file.corrupt(f"a vertex follows the joint {joint.max()} of {len(place.joints)}")
        return bend(v_pos, joint, weight, place.joints)[0][None].astype(np.float64)
    turn, move = place.matrices[:, :3, :3].transpose(0, 2, 1), place.matrices[:, None, :3, 3]
    return v_pos.astype(np.float64) @ turn + move


def _set_of(file: GlbFile, material: dict[str, Any]) -> int:
    """The number of the set of texture coordinates that a material's base colour uses."""
    values = file.child(material, "pbrMetallicRoughness")
    info = file.extension(material, GLOSSY).get("diffuseTexture", values.get("baseColorTexture"))
    if not isinstance(info, dict):
        return 0
    number = file.extension(info, TRANSFORM).get("texCoord", info.get("texCoord", 0))
    return number if type(number) is int and number >= 0 else 0


def _coordinates(primitive: Primitive, number: int) -> np.ndarray | None:
    """(V, 2) float32 of a set of texture coordinates; None if there is none that can be read."""
    if f"{UV}{number}" not in primitive.accessors:
        return None
    try:
        return primitive.attribute(f"{UV}{number}", 2, None).astype(np.float32)
    except ObjectError:
        return None


def _cut(primitive: Primitive, images: TextureReader) -> tuple[Texture | None, np.ndarray | None]:
    """The image whose alpha cuts a primitive, and its (V, 2) coordinates there; None, None if it is solid."""
    material = material_of(primitive.file, primitive.record)
    if not material.cutoff or material.texture is None:
        return None, None
    image = images.of(material)
    if image is None or (image.image[..., 3] == 255).all():
        return None, None
    places = texture_coordinates(
        primitive.file, material, lambda name: primitive.attribute(name, 2, None)
    )
    return (None, None) if places is None else (image, places)


def _shift_sets(record: dict[str, Any]) -> None:
    """Let every image of a material look at the set of coordinates behind the one that it looked at."""
    for key, value in record.items():
        if not isinstance(value, dict):
            continue
        if key.endswith("Texture") and "index" in value:
            value["texCoord"] = value.get("texCoord", 0) + 1
            moved = value.get("extensions", {}).get(TRANSFORM, {})
            if "texCoord" in moved:
                moved["texCoord"] += 1
        else:
            _shift_sets(value)
