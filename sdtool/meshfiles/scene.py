"""The node tree of a GLB file: which meshes stand where."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdtool.errors import ObjectError
from sdtool.meshfiles.accessors import GlbFile
from sdtool.meshfiles.extensions import INSTANCING, VISIBILITY
from sdtool.meshfiles.skins import joint_matrices

IDENTITY = np.eye(4)


@dataclass(frozen=True, eq=False)
class Placement:
    """One mesh in the scene. matrices: (N, 4, 4) float64 object-to-world, one for each instance.

    With a skin, `joints` has (J, 4, 4) float64 joint-to-world · inverse bind matrices.
    weights: of the mesh's morph targets as the node gives them; None: as the mesh gives them.
    """

    mesh: int
    matrices: np.ndarray
    joints: np.ndarray | None = None
    weights: tuple[float, ...] | None = None


def placements(file: GlbFile) -> Iterator[Placement]:
    """Yield every mesh of the default scene; of all root nodes where no scene is given."""
    nodes = [file.entry("nodes", i) for i in range(len(file.items(file.tree, "nodes")))]
    if not nodes:  # a library of meshes without a scene
        for index in range(len(file.items(file.tree, "meshes"))):
            yield Placement(index, IDENTITY[None])
        return
    inner = {c for node in nodes for c in file.items(node, "children") if type(c) is int}
    outer = [i for i in range(len(nodes)) if i not in inner]
    if file.items(file.tree, "scenes"):
        scene = file.entry("scenes", file.integer(file.tree, "scene", 0))
        roots = file.items(scene, "nodes")
    else:
        roots = outer or [0]
    visited = _walk(file, roots)
    in_scene = len(visited)
    if not visited:
        return
    if any("skin" in nodes[index] for index in visited):  # joints should be in the scene, too
        visited = _walk(file, [*roots, *(i for i in outer if i not in visited)])
    order = list(visited)
    world = _worlds(_locals(file, [nodes[i] for i in order]), list(visited.values()))
    place = {index: k for k, index in enumerate(order)}
    skins: dict[int, np.ndarray] = {}
    hidden: set[int] = set()
    instances = 0
    for k, index in enumerate(order[:in_scene]):
        node, parent = nodes[index], visited[index]
        if parent in hidden or file.extension(node, VISIBILITY).get("visible") is False:
            hidden.add(k)
            continue
        if node.get("mesh") is None:
            continue
        matrices = _instances(file, node, world[k])
        instances += len(matrices)
        if instances > file.limits.instances:
            raise file.too_large(f"{instances} placed meshes", f"{file.limits.instances}")
        if not len(matrices):
            continue
        joints = None
        if node.get("skin") is not None:
            skin = file.integer(node, "skin")
            if skin not in skins:
                skins[skin] = joint_matrices(file, skin, world, place)
            joints = skins[skin]
        weights = None
        if "weights" in node:
            count = len(file.items(node, "weights"))
            weights = tuple(file.numbers(node, "weights", [0] * count))
        yield Placement(file.integer(node, "mesh"), matrices, joints, weights)


def _walk(file: GlbFile, roots: list[Any]) -> dict[int, int]:
    """{node: place of its parent in this dict, −1 for roots}; parents come before children."""
    visited: dict[int, int] = {}
    stack = [(root, -1) for root in reversed(roots)]
    while stack:
        index, parent = stack.pop()
        node = file.entry("nodes", index)
        if index in visited:
            raise ObjectError("node-cycle", f"{file.path} reaches its node {index} in two ways")
        place = len(visited)
        visited[index] = parent
        stack += [(child, place) for child in reversed(file.items(node, "children"))]
    return visited


# Matrices


def _worlds(local: np.ndarray, parents: list[int]) -> np.ndarray:
    """(N, 4, 4) node-to-world from node-to-parent; parents come before children."""
    depth = np.zeros(len(parents), np.int64)
    for k, parent in enumerate(parents):
        if parent >= 0:
            depth[k] = depth[parent] + 1
    world, above = local.copy(), np.array(parents)
    by_depth = np.argsort(depth, kind="stable")
    ends = np.searchsorted(depth[by_depth], np.arange(1, depth.max(initial=0) + 2))
    for start, end in zip(ends, ends[1:], strict=False):  # one level of the tree after the other
        level = by_depth[start:end]
        world[level] = world[above[level]] @ local[level]
    return world


def _locals(file: GlbFile, nodes: list[dict[str, Any]]) -> np.ndarray:
    """(N, 4, 4) float64 of each node: its matrix, or translation · rotation · scale."""
    moves, turns, scales = [], [], []
    matrices: dict[int, list[float]] = {}
    for k, node in enumerate(nodes):
        if "matrix" in node:
            matrices[k] = file.numbers(node, "matrix", [0.0] * 16)
        moves.append(file.numbers(node, "translation", [0, 0, 0]))
        turns.append(file.numbers(node, "rotation", [0, 0, 0, 1]))
        scales.append(file.numbers(node, "scale", [1, 1, 1]))
    local = compose(file, *(np.array(each, np.float64) for each in (moves, turns, scales)))
    for k, matrix in matrices.items():
        local[k] = np.reshape(matrix, (4, 4)).T  # stored column after column
    local[:, 3] = IDENTITY[3]
    return local


def compose(file: GlbFile, moves: np.ndarray, turns: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Translation (N, 3), rotation (N, 4) as quaternion xyzw, scale (N, 3) → (N, 4, 4) float64."""
    norm = (turns**2).sum(axis=1, keepdims=True)
    if not (norm > 0).all():
        raise file.corrupt("a node has the rotation 0, 0, 0, 0")
    x, y, z, w = (turns / np.sqrt(norm)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    matrices = np.zeros((len(moves), 4, 4))
    matrices[:, :3, :3] = np.array(rows).transpose(2, 0, 1) * scales[:, None]
    matrices[:, :3, 3] = moves
    matrices[:, 3, 3] = 1
    return matrices


def _instances(file: GlbFile, node: dict[str, Any], world: np.ndarray) -> np.ndarray:
    """(N, 4, 4) of the node's mesh: one, or as many as EXT_mesh_gpu_instancing lists."""
    attributes = file.child(file.extension(node, INSTANCING), "attributes")
    defaults = {"TRANSLATION": [0, 0, 0], "ROTATION": [0, 0, 0, 1], "SCALE": [1, 1, 1]}
    counts = {file.count(attributes[name]) for name in defaults if name in attributes}
    if not counts:
        return world[None]
    if len(counts) > 1:
        raise file.corrupt("the attributes of an instanced node are not of one length")
    count = counts.pop()
    if count > file.limits.instances:
        raise file.too_large(f"{count} instances", f"{file.limits.instances}")
    parts = []
    for name, default in defaults.items():
        values = np.array(default)[None].repeat(count, axis=0)
        if name in attributes:
            values = file.accessor(attributes[name])
        if values.shape[1] != len(default):
            raise file.corrupt(f"{name} of an instanced node is not of {len(default)} numbers")
        parts.append(values.astype(np.float64))
    return world @ compose(file, *parts)
