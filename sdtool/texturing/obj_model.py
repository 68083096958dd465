"""An OBJ file to be painted: its materials as pieces and sheets, and the copy with another .mtl."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sdtool.exporting.model_files import GENERATOR, companion_stem
from sdtool.geometry.meshes import Texture
from sdtool.geometry.polygons import triangulate
from sdtool.geometry.surfaces import ROUGHNESS
from sdtool.io.images import png_bytes
from sdtool.meshfiles import load_mesh
from sdtool.meshfiles.obj import ObjFaces, read_faces
from sdtool.texturing.pieces import Layout, Paint, Piece

BARE = b"painted"
"""The name of the material of faces that had none."""
CONTINUED = (b"\\\r\n", b"\\\n", b"\\\r")


class ObjModel:
    """The faces of a file, a piece for each material: see `sdtool.texturing.pieces.Model`.

    ObjectErrors as `sdtool.meshfiles.load_mesh` has them.
    """

    def __init__(self, path: Path):
        load_mesh(path, normals=False)  # which says what is wrong with it
        self.path, self.data = path, path.read_bytes()
        said = self.said = read_faces(self.data, path)
        triangles, self.owner = triangulate(
            np.ascontiguousarray(said.points[:, :3]), said.corners[:, 0], said.counts
        )
        self._starts = np.cumsum(said.counts) - said.counts
        worn = said.used[self.owner]
        self.materials: list[int] = list(dict.fromkeys(worn.tolist()))
        self.sheets = [_text(said.names[number] or BARE) for number in self.materials]
        self.cutouts: list[Texture | None] = [None] * len(self.materials)
        self.pieces: list[Piece] = []
        self.vertices: list[np.ndarray] = []  # (V, 3) of each piece: numbers of v, vt and vn
        for sheet, number in enumerate(self.materials):
            rows = said.corners[triangles[worn == number].reshape(-1)]
            vertices, faces = np.unique(rows, axis=0, return_inverse=True)
            faces = faces.reshape(-1, 3).astype(np.int32)
            placed = said.points[vertices[:, 0], :3][None]
            self.pieces.append(Piece(placed, faces, _coordinates(said, vertices[:, 1]), sheet))
            self.vertices.append(vertices)

    def outputs(self, pbr: bool) -> tuple[str, ...]:
        """The OBJ, its library, and the images of each material."""
        images = [n for sheet in range(len(self.sheets)) for n in self._images(sheet, pbr).values()]
        return (self.path.name, f"{self._stem}.mtl", *images)

    @property
    def _stem(self) -> str:
        return f"{companion_stem(self.path)}-painted"

    def _images(self, sheet: int, pbr: bool) -> dict[str, str]:
        """Statement → name of the image, for one material."""
        kinds = {"map_Kd": "color"} | ({"map_Pr": "roughness", "map_Pm": "metallic"} if pbr else {})
        return {word: f"{self._stem}-{sheet}-{kind}.png" for word, kind in kinds.items()}

    def painted(self, layouts: list[Layout], paints: list[Paint]) -> dict[str, bytes]:
        """The file, whose lines stay but for `mtllib`, and for the faces whose layout is new: those become
        triangles with coordinates of their own."""
        files = {self.path.name: b"".join(self._lines(layouts))}
        library = [f"# {GENERATOR}"]
        for sheet, paint in enumerate(paints):
            pbr = paint.metallic_roughness is not None
            rough, metal = ("1", "1") if pbr else (str(ROUGHNESS), "0")
            library += [f"newmtl {self.sheets[sheet]}", "Ka 0 0 0", "Kd 1 1 1", "Ks 0 0 0"]
            library += [f"Pr {rough}", f"Pm {metal}"]
            images = {"map_Kd": paint.base_color}
            if paint.metallic_roughness is not None:
                images["map_Pr"] = paint.metallic_roughness[..., 1]
                images["map_Pm"] = paint.metallic_roughness[..., 2]
            for word, name in self._images(sheet, pbr).items():
                library.append(f"{word} {name}")
                files[name] = png_bytes(np.ascontiguousarray(images[word]))
        files[f"{self._stem}.mtl"] = "\n".join([*library, ""]).encode("utf-8", "surrogateescape")
        return files

    def _lines(self, layouts: list[Layout]) -> Iterator[bytes]:
        """The lines of the new file.

        Where faces get new coordinates, all former `vt` come before the first face, and the new ones behind
        them, so that no number of a former one changes; what counts back from its place is then written
        out.
        """
        data, faces = self.data, self._new_faces(layouts)
        for end in CONTINUED if faces else ():
            data = data.replace(end, b" ")
        lines = data.splitlines(keepends=True)
        end = b"\r\n" if lines and lines[0].endswith(b"\r\n") else b"\n"
        late = _late_coordinates(lines) if faces else []
        face, begun, named, linked = 0, False, False, False
        for line in lines:
            kind, _, _ = line.strip().replace(b"\t", b" ").partition(b" ")
            if kind == b"mtllib":
                if not linked:
                    yield f"mtllib {self._stem}.mtl".encode() + end
                linked = True
                continue
            if kind == b"usemtl":
                named = True
            elif kind == b"vt" and faces and begun:
                continue
            elif kind in (b"f", b"fo"):
                if not linked:
                    yield f"mtllib {self._stem}.mtl".encode() + end
                    linked = True
                if not named:
                    yield b"usemtl " + BARE + end
                    named = True
                if not begun and faces:
                    yield from late
                    yield from (text + end for text in _coordinate_lines(layouts))
                begun = True
                face += 1
                if face - 1 in faces:
                    yield from (text + end for text in faces[face - 1])
                    continue
                if faces and b"-" in line:
                    yield self._face(face - 1) + end
                    continue
            yield line

    def _face(self, face: int) -> bytes:
        """A face as it is, without counting back."""
        start = int(self._starts[face])
        rows = self.said.corners[start : start + int(self.said.counts[face])]
        return b"f " + b" ".join(_corner(*row) for row in rows.tolist())

    def _new_faces(self, layouts: list[Layout]) -> dict[int, list[bytes]]:
        """Number of a face → the triangles in its place, for those whose coordinates are new."""
        found: dict[int, list[bytes]] = {}
        first, worn = len(self.said.uv), self.said.used[self.owner]
        for number, layout, vertices in zip(self.materials, layouts, self.vertices, strict=True):
            if layout.origin is None:
                continue
            rows = vertices[layout.origin]
            rows[:, 1] = first + np.arange(len(rows))
            words = [_corner(*row) for row in rows.tolist()]
            owners = self.owner[worn == number].tolist()
            for owner, corners in zip(owners, layout.faces.tolist(), strict=True):
                line = b"f " + b" ".join(words[k] for k in corners)
                found.setdefault(owner, []).append(line)
            first += len(rows)
        return found


def _late_coordinates(lines: list[bytes]) -> list[bytes]:
    """The lines with `vt` that stand behind the first face."""
    kinds = [line.strip().replace(b"\t", b" ").partition(b" ")[0] for line in lines]
    first = next((k for k, kind in enumerate(kinds) if kind in (b"f", b"fo")), len(lines))
    return [
        line.rstrip(b"\r\n") + b"\n"
        for line, kind in zip(lines[first:], kinds[first:], strict=True)
        if kind == b"vt"
    ]


def _coordinate_lines(layouts: list[Layout]) -> Iterator[bytes]:
    for layout in layouts:
        if layout.origin is not None:
            for s, t in layout.v_uv.tolist():
                yield b"vt %.6f %.6f" % (s, 1 - t)


def _corner(v: int, vt: int, vn: int) -> bytes:
    """A corner of a face, of numbers from 0, −1 for none."""
    if vn >= 0:
        return b"%d/%s/%d" % (v + 1, b"%d" % (vt + 1) if vt >= 0 else b"", vn + 1)
    return b"%d/%d" % (v + 1, vt + 1) if vt >= 0 else b"%d" % (v + 1)


def _coordinates(said: ObjFaces, numbers: np.ndarray) -> np.ndarray | None:
    """(V, 2) float32 glTF coordinates of vertices whose `vt` have these numbers; None if one has none."""
    if said.uv.shape[1] < 2 or not len(said.uv) or (numbers < 0).any():
        return None
    s, t = said.uv[numbers, :2].T
    return np.stack([s, 1 - t], axis=1).astype(np.float32)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")
