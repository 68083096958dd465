"""Skinned meshes: linear blend skinning in the pose that the file's nodes stand in.

That is the pose which every viewer shows before an animation plays. Where the nodes stand as they
did when the mesh was bound (exporters call it rest pose), each joint's matrix times its inverse
bind matrix is one and the same placement, and the mesh comes out in its bind pose. Where they do
not, as in files saved in mid-animation, the mesh is bent as the nodes say. The transform of the
node that carries a skinned mesh has no effect (glTF, section 3.7.3.3).
"""

import numpy as np

from sdtool.geometry.normals import for_normals
from sdtool.meshfiles.accessors import GlbFile

STEP = 1 << 14  # vertices whose matrices are held at a time


def joint_matrices(
    file: GlbFile, index: int, world: np.ndarray, place: dict[int, int]
) -> np.ndarray:
    """(J, 4, 4) float64 of one skin: joint-to-world · inverse bind matrix.

    world: (N, 4, 4) of nodes; place: {number of a node: its row in `world`}.
    """
    skin = file.entry("skins", index)
    joints = file.items(skin, "joints")
    for joint in joints:
        if type(joint) is not int or joint not in place:
            raise file.corrupt(
                f"skin {index} has the joint {str(joint)[:99]}, which stands nowhere"
            )
    if not joints:
        raise file.corrupt(f"skin {index} has no joints")
    matrices = world[[place[joint] for joint in joints]]
    if skin.get("inverseBindMatrices") is None:
        return matrices
    stored = file.accessor(skin["inverseBindMatrices"])
    if stored.shape[1] != 16 or len(stored) < len(joints):
        raise file.corrupt(f"skin {index} has fewer inverse bind matrices than joints")
    inverse = stored[: len(joints)].reshape(-1, 4, 4).transpose(0, 2, 1).astype(np.float64)
    inverse[:, 3] = [0, 0, 0, 1]
    return matrices @ inverse


def influences(
    file: GlbFile, joints: list[np.ndarray], weights: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """JOINTS_n and WEIGHTS_n (each (V, 4)) → (V, K) int32 joints, (V, K) float32 weights of sum 1.

    As viewers do, weights of another sum are scaled, and a vertex without any follows its first
    joint. What a joint of weight zero is does not matter.
    """
    if any(j.dtype.kind not in "ui" or j.shape[1] != 4 for j in joints):
        raise file.corrupt("JOINTS_n are not four integers for every vertex")
    if any(w.shape[1] != 4 for w in weights) or len(weights) != len(joints):
        raise file.corrupt("WEIGHTS_n are not four numbers for every vertex")
    weight = np.maximum(np.concatenate(weights, axis=1).astype(np.float32), 0)
    weight[~weight.any(axis=1), 0] = 1
    joint = np.where(weight > 0, np.concatenate(joints, axis=1).astype(np.int32), 0)
    return joint, weight / weight.sum(axis=1, keepdims=True)


def bend_normals(
    v_normal: np.ndarray, joint: np.ndarray, weight: np.ndarray, matrices: np.ndarray
) -> np.ndarray:
    """(V, 3) float64 normals in the world, not of unit length, where `bend` moves positions."""
    flat = np.ascontiguousarray(matrices[:, :3, :3]).reshape(-1, 9)
    out = np.empty((len(v_normal), 3))
    for start in range(0, len(v_normal), STEP):
        part = slice(start, start + STEP)
        blended = np.einsum("vk,vkm->vm", weight[part], flat[joint[part]]).reshape(-1, 3, 3)
        out[part] = np.einsum("vij,vj->vi", for_normals(blended), v_normal[part])
    return out


def bend(
    v_pos: np.ndarray, joint: np.ndarray, weight: np.ndarray, matrices: np.ndarray
) -> tuple[np.ndarray, bool]:
    """(V, 3) float32 positions in the world, and whether the skin mirrors most of the mesh.

    joint (V, K), weight (V, K): see `influences`; matrices: (J, 4, 4), every joint among them.
    """
    flat = np.ascontiguousarray(matrices[:, :3]).reshape(-1, 12)
    out = np.empty((len(v_pos), 3), np.float32)
    for start in range(0, len(v_pos), STEP):
        part = slice(start, start + STEP)
        blended = np.einsum("vk,vkm->vm", weight[part], flat[joint[part]]).reshape(-1, 3, 4)
        moved = np.einsum("vij,vj->vi", blended[:, :, :3], v_pos[part].astype(np.float64))
        out[part] = moved + blended[:, :, 3]
    share = np.bincount(joint.reshape(-1), weight.reshape(-1), len(matrices))
    return out, bool(share @ np.sign(np.linalg.det(matrices[:, :3, :3])) < 0)
