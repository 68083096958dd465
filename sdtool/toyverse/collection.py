"""A collection on disk, laid out as the `objaverse` package lays out its own."""

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from sdtool.geometry.meshes import Mesh, srgb_to_linear
from sdtool.io.files import atomic_path
from sdtool.meshfiles import write_glb
from sdtool.toyverse.primitives import colors_of
from sdtool.toyverse.toys import ToyObject

SHARD = 5000  # objects in one metadata shard and one folder of GLBs
PATHS, LVIS = "object-paths.json.gz", "lvis-annotations.json.gz"


def shard_name(index: int) -> str:
    """The shard of object number `index`: ``000-000``, ``000-001``, …"""
    return f"000-{index // SHARD:03d}"


def glb_path(uid: str, index: int) -> str:
    """Where the GLB lies in the collection, as `object-paths.json.gz` says it."""
    return f"glbs/{shard_name(index)}/{uid}.glb"


def write_json_gz(path: Path, value: Any) -> None:
    """Write gzipped JSON atomically; the same value gives the same bytes."""
    with atomic_path(path) as temporary:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        temporary.write_bytes(gzip.compress(text.encode("utf-8"), compresslevel=6, mtime=0))


def write_object(path: Path, toy: ToyObject) -> None:
    """Write one toy's GLB atomically: triangles, points, or a scene with nothing in it."""
    name, extras = toy.annotation["name"], {"title": toy.annotation["name"], "license": "CC0-1.0"}
    if toy.mesh is not None and len(toy.mesh.t_pos_idx):
        write_glb(path, toy.mesh, name=name, extras=extras)
        return
    with atomic_path(path) as temporary:
        temporary.write_bytes(_without_triangles(toy.mesh, name, extras))


def _without_triangles(points: Mesh | None, name: str, extras: dict[str, Any]) -> bytes:
    """A GLB that holds a POINTS primitive, or only an empty node. COLOR_0 is linear, as in glTF."""
    node: dict[str, Any] = {"name": name}
    tree: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "sdtool toyverse", "extras": extras},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [node],
    }
    binary = b""
    if points is not None:
        positions = points.v_pos.astype("<f4")
        colors = srgb_to_linear(colors_of(points)).astype("<f4")
        binary = positions.tobytes() + colors.tobytes()
        half, count = len(binary) // 2, len(positions)
        accessor = {"componentType": 5126, "count": count, "type": "VEC3"}
        low, high = np.min(positions, axis=0).tolist(), np.max(positions, axis=0).tolist()
        primitive = {"attributes": {"POSITION": 0, "COLOR_0": 1}, "mode": 0}
        node["mesh"] = 0
        tree |= {
            "meshes": [{"primitives": [primitive]}],
            "accessors": [
                {"bufferView": 0, **accessor, "min": low, "max": high},
                {"bufferView": 1, **accessor},
            ],
            "bufferViews": [
                {"buffer": 0, "byteOffset": k * half, "byteLength": half} for k in range(2)
            ],
            "buffers": [{"byteLength": len(binary)}],
        }
    text = json.dumps(tree, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    if binary:
        chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks
