"""A corpus of broken 3D files by mutation, and a child process that survives reading them.

`python tests/glb_mutants.py FIRST COUNT STATUS` reads the mutants of the seeds FIRST, FIRST + 1, …
under a limit of memory, and prints one JSON object about what it met. The number in the file STATUS
is the seed in progress: if the process dies, that one killed it.
"""

import base64
import io
import json
import os
import resource
import struct
import sys
import tempfile
import time
from collections import Counter
from copy import deepcopy
from pathlib import Path

import numpy as np
from glb_samples import (
    CORNER,
    CORNER_FACES,
    Sample,
    container,
    corner,
    draco_sample,
    matrices,
    meshopt_sample,
    translation,
)

from sdtool.errors import ObjectError
from sdtool.meshfiles import load_mesh
from sdtool.meshfiles.limits import Limits

LIMITS = Limits(
    file_bytes=1 << 20,
    json_bytes=1 << 19,
    text_bytes=1 << 20,
    triangles=100_000,
    instances=1000,
    decoded_bytes=1 << 24,
    image_pixels=1 << 20,
    texture_side=64,
    texture_bytes=1 << 20,
)
MEMORY = 1 << 30  # by how much the child's address space may grow at all
REASONS = {  # those that `read_glb` and `load_mesh` document
    "corrupt-file",
    "truncated-file",
    "wrong-kind",
    "empty-file",
    "missing-buffer",
    "unsupported-version",
    "missing-file",
    "unsupported-extension",
    "unsupported-format",
    "missing-decoder",
    "external-buffer",
    "node-cycle",
    "too-large",
    "bad-index",
    "non-finite",
    "no-triangles",
    "zero-extent",
}


# Valid files to begin with


def grid(n):
    """(n², 3) float32 and (2(n − 1)², 3) uint16: a wavy sheet."""
    y, x = np.divmod(np.arange(n * n), n)
    v_pos = np.stack([x, y, np.sin(x * 0.7) + np.cos(y * 0.9)], axis=1).astype(np.float32)
    i = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).reshape(-1)
    upper, lower = np.stack([i, i + 1, i + n], 1), np.stack([i + 1, i + n + 1, i + n], 1)
    return v_pos, np.concatenate([upper, lower]).astype(np.uint16)


def plain():
    sample = corner(rotation=[0, 0, 0, 1], scale=[1, 2, 1], translation=[3, 2, 1])
    sample.tree["materials"] = [{"pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 1]}}]
    sample.primitive(CORNER, [0, 1, 2, 3], mode=5, color=np.ones((4, 4), np.float32), material=0)
    sample.primitive(CORNER, [0, 1, 2, 3], mode=6)
    sample.tree["nodes"] += [{"children": [0], "matrix": np.eye(4).reshape(-1).tolist()}]
    sample.tree["scenes"][0]["nodes"] = [1]
    return sample


def sparse():
    sample = Sample()
    number = sample.accessor(CORNER * 7)
    sample.tree["accessors"][number]["sparse"] = {
        "count": 3,
        "indices": {"bufferView": sample.view(bytes([1, 2, 3])), "componentType": 5121},
        "values": {"bufferView": sample.view(CORNER[1:].tobytes())},
    }
    sample.primitive(number, CORNER_FACES)
    target = {"POSITION": sample.accessor(CORNER[::-1].copy())}
    sample.tree["meshes"][0]["primitives"][0]["targets"] = [target]
    sample.tree["meshes"][0]["weights"] = [0.5]
    return sample


def quantised():
    sample = Sample()
    positions = np.zeros((4, 4), np.int16)
    positions[:, :3] = CORNER * 10_000
    number = sample.accessor(positions, type="VEC3", normalized=True)
    sample.tree["bufferViews"][0]["byteStride"] = 8
    color = np.uint8([[255, 0, 0, 255]] * 4)
    sample.primitive(number, CORNER_FACES, vertex={"COLOR_0": color})
    sample.tree["extensionsRequired"] = ["KHR_mesh_quantization"]
    return sample


def skinned():
    sample = Sample()
    joints = {"JOINTS_0": np.uint8([[0, 1, 0, 0]] * 4)}
    weights = {"WEIGHTS_0": np.float32([[0.5, 0.5, 0, 0]] * 4)}
    sample.primitive(CORNER, CORNER_FACES, vertex={**joints, **weights})
    sample.tree["nodes"] = [{"mesh": 0, "skin": 0}, {"children": [2]}, {"translation": [0, 1, 0]}]
    sample.tree["scenes"][0]["nodes"] = [0, 1]
    inverse = sample.accessor(matrices(np.eye(4), translation(0, -1, 0)))
    sample.tree["skins"] = [{"joints": [1, 2], "inverseBindMatrices": inverse}]
    return sample


def image(kind, **options):
    from PIL import Image

    pixels = (np.arange(24 * 16 * 4) * 37 % 251).astype(np.uint8).reshape(24, 16, 4)
    out = io.BytesIO()
    Image.fromarray(pixels if kind != "JPEG" else pixels[..., :3].copy()).save(out, kind, **options)
    return out.getvalue()


def textured():
    sample = Sample()
    kinds = [image("PNG"), image("JPEG"), image("WEBP"), image("JPEG", progressive=True)]
    sample.tree["images"] = [{"bufferView": sample.view(data)} for data in kinds]
    uri = "data:image/png;base64," + base64.b64encode(kinds[0]).decode()
    sample.tree["images"].append({"uri": uri})
    sample.tree["samplers"] = [{"wrapS": 33071, "wrapT": 33648}]
    sample.tree["textures"] = [{"source": k, "sampler": 0} for k in range(5)]
    sample.tree["textures"][2] = {"extensions": {"EXT_texture_webp": {"source": 2}}}
    transform = {"KHR_texture_transform": {"offset": [0, 1], "rotation": 1, "scale": [2, 0.5]}}
    uv = np.linspace(0, 1, 8, dtype=np.float32).reshape(4, 2)
    sample.tree["materials"] = []
    for k in range(5):
        info = {"index": k, "texCoord": 0, "extensions": transform}
        surface = {"pbrMetallicRoughness": {"baseColorTexture": info}, "alphaMode": "MASK"}
        sample.tree["materials"].append(surface)
        sample.primitive(CORNER, CORNER_FACES, material=k, vertex={"TEXCOORD_0": uv})
    return sample


def embedded():
    sample = corner()
    text = base64.b64encode(sample.binary).decode()
    uri = f"data:application/octet-stream;base64,{text}"
    sample.tree["buffers"] = [{"byteLength": len(sample.binary), "uri": uri}]
    sample.binary = b""
    return sample


def instanced():
    sample = corner()
    attributes = {
        "TRANSLATION": sample.accessor(np.arange(9, dtype=np.float32).reshape(3, 3)),
        "ROTATION": sample.accessor(np.int16([[0, 0, 0, 32767]] * 3), normalized=True),
        "SCALE": sample.accessor(np.ones((3, 3), np.float32)),
    }
    for node in sample.tree["nodes"]:
        node["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": attributes}}
    sample.tree["nodes"] += [{"mesh": 0}, {"mesh": 0, "children": [1]}]
    sample.tree["scenes"][0]["nodes"] = [0, 2]
    return sample


def draco(**options):
    v_pos, faces = grid(9)
    colors = (v_pos * 25 % 256).astype(np.uint8)
    joints = np.zeros((len(v_pos), 4), np.uint16)
    return draco_sample(v_pos, faces, colors=colors, joints=joints, **options)


def other_formats():
    """[(suffix, bytes)] of small meshes that trimesh writes, and of what only hands do."""
    import trimesh

    v_pos, faces = grid(5)
    mesh = trimesh.Trimesh(v_pos, faces, process=False)
    kinds = [("obj", {}), ("off", {}), ("stl", {}), ("ply", {}), ("ply", {"encoding": "ascii"})]
    made = [(kind, mesh.export(file_type=kind, **more)) for kind, more in kinds]
    letter = "0 0 0\n4 0 0\n4 1 0\n1 1 0\n1 3 0\n4 3 0\n4 4 0\n0 4 1\n"
    rows = "".join(f"v {line} 1 0 0.5\n" for line in letter.splitlines())
    rows += "vt 0 0\nvt 1 1\nvn 0 0 1\nmtllib a.mtl\nusemtl a\n"
    made.append(
        ("obj", f"{rows}f 1/1 2/2 3/1 4/1 5/1 6/1 7/1 8/1\nf -1//1 -2//1 -3//1\nf 1 2 3 4\n")
    )
    made.append(("off", f"COFF 8 2 0\n{letter}8 0 1 2 3 4 5 6 7 255 0 0\n3 0 1 2\n"))
    head = "ply\nformat binary_big_endian 1.0\nelement vertex 4\nproperty float x\n"
    head += "property float y\nproperty float z\nproperty uchar red\nproperty uchar green\n"
    head += "property uchar blue\nelement face 2\nproperty list uchar int vertex_indices\n"
    head += "element tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    data = b"".join(struct.pack(">3f3B", k, k * k, 0, k, 0, 9) for k in range(4))
    data += struct.pack(">B3iB4i", 3, 0, 1, 2, 4, 0, 1, 2, 3)
    made.append(("ply", head.encode() + data + struct.pack(">7i", 6, 0, 1, 2, 3, -1, 0)))
    return [(kind, d.encode() if isinstance(d, str) else d) for kind, d in made]


def text_gltf(tree, binary):
    """The bytes of a .gltf with its first buffer in the text."""
    buffers = tree.get("buffers")
    if isinstance(buffers, list) and buffers and isinstance(buffers[0], dict):
        uri = "data:application/octet-stream;base64," + base64.b64encode(binary).decode()
        buffers[0].setdefault("uri", uri)
    return json.dumps(tree).encode()


def glb_samples():
    """{name: Sample}, complete; those whose encoder is installed."""
    made = {
        f.__name__: f() for f in (plain, sparse, quantised, skinned, textured, embedded, instanced)
    }
    try:
        made |= {f"draco{k}": draco(compression_level=k) for k in (0, 1, 7)}
        made["draco-in-order"] = draco(preserve_order=True)
    except ImportError:
        pass
    try:
        v_pos, faces = grid(9)
        for mode in ("TRIANGLES", "INDICES"):
            made[f"meshopt-{mode}"] = meshopt_sample(v_pos, faces, mode, "EXT_meshopt_compression")
    except ImportError:
        pass
    for sample in made.values():
        sample.data()
    return made


# Mutations. Each takes (rng, tree, binary) and gives (tree, binary), or changes the tree in place.

STRANGE = [
    None, True, False, -1, 0, 1, 2, 3, 5, 255, 256, 65535, 2**31 - 1, 2**31, 2**32, 2**53, 2**63,
    10**30, -(2**63), 0.5, -0.0, 1e-320, 1e39, 1e308, float("nan"), float("inf"), "", "x", "0",
    [], {}, [0], [[]], {"a": 1}, [None] * 4, "data:;base64,AAAA", "../../etc/passwd", "\0",
]  # fmt: skip


def places(value, path=()):
    """Every (container, key) of a JSON tree."""
    keys = value.keys() if isinstance(value, dict) else range(len(value))
    for key in list(keys):
        yield value, key
        if isinstance(value[key], dict | list):
            yield from places(value[key], (*path, key))


def pick(rng, things):
    return things[int(rng.integers(len(things)))]


def edit(rng, tree, binary):
    """One value of the tree becomes something else."""
    owner, key = pick(rng, list(places(tree)))
    old, act = owner[key], rng.integers(6)
    if act == 0:
        del owner[key]
    elif act == 1 and isinstance(old, int | float):
        owner[key] = pick(rng, [old + 1, old - 1, -old, old * 2, old * 1000, old + 0.5, float(old)])
    elif act == 2 and isinstance(owner, list):
        owner.append(deepcopy(old))
    elif act == 3:
        other, name = pick(rng, list(places(tree)))
        owner[key] = deepcopy(other[name])  # never a circle
    else:
        owner[key] = deepcopy(pick(rng, STRANGE))


def absurd(rng, tree, binary):
    """A count, offset or length becomes enormous or negative."""
    keys = ("count", "byteLength", "byteOffset", "byteStride")
    sizes = [(o, k) for o, k in places(tree) if k in keys]
    owner, key = pick(rng, sizes)
    owner[key] = pick(rng, [-1, 0, 99, 10**5, 10**6, 2**31, 2**32 + 1, 10**18, 2**64])


def unbacked(rng, tree, binary):
    """An accessor of many zeros that lie nowhere."""
    accessor = pick(rng, tree["accessors"])
    accessor.pop("bufferView", None)
    accessor["count"] = int(rng.integers(1, 300_000))


def family(rng, tree, binary):
    """Nodes become children of others: circles, chains, double parents."""
    nodes = tree["nodes"]
    act = rng.integers(3)
    if act == 0:
        pick(rng, nodes)["children"] = [int(rng.integers(len(nodes)))]
    elif act == 1:
        depth = int(rng.integers(2000))
        start = len(nodes)
        nodes += [{"children": [start + k + 1], "scale": [2, 2, 2]} for k in range(depth)]
        nodes.append({"mesh": 0})
        tree["scenes"] = [{"nodes": [start]}]
    else:
        count = int(rng.integers(2000))
        start = len(nodes)
        nodes += [{"mesh": 0, "translation": [k, 0, 0]} for k in range(count)]
        tree["scenes"] = [{"nodes": list(range(start, start + count))}]


def elsewhere(rng, tree, binary):
    """Data are said to lie in other files."""
    uris = ["../../../etc/passwd", "/dev/zero", "file:///dev/stdin", "a.bin", "data:;base64,!", 5]
    owners = tree.get("buffers", []) + tree.get("images", [])
    pick(rng, owners)["uri"] = pick(rng, uris)


def number(rng, tree, binary):
    """Some bytes of the binary chunk become special numbers."""
    if not binary:
        return tree, binary
    data = bytearray(binary)
    floats = [struct.pack("<f", v) for v in (float("nan"), float("inf"), -1e38, 1e-40)]
    raw = pick(rng, [*floats, b"\xff" * 4, b"\0" * 4, b"\xff\xff", b"\1"])
    at = int(rng.integers(len(data))) & ~3
    data[at : at + len(raw)] = raw
    return tree, bytes(data)


def stream(rng, tree, binary):
    """One bufferView (a stream of Draco, meshopt, PNG, …) is damaged inside, mostly at its head."""
    views = [v for v in tree.get("bufferViews", []) if isinstance(v, dict)]
    if not views or not binary:
        return tree, binary
    view = pick(rng, views)
    packed = next(iter(view.get("extensions", {}).values()), view)
    start, length = int(packed.get("byteOffset", 0)), int(packed["byteLength"])
    data = bytearray(binary)
    for _ in range(int(rng.integers(1, 6))):
        near = rng.random() < 0.5
        at = start + int(rng.integers(max(min(length, 48) if near else length, 1)))
        if at < len(data):
            bit = 1 << int(rng.integers(8))
            data[at] = pick(rng, [data[at] ^ bit, int(rng.integers(256)), 0, 255])
    return tree, bytes(data)


MUTATIONS = [edit, edit, edit, absurd, unbacked, family, elsewhere, number, stream, stream, stream]


def scrambled(rng, data):
    """Bytes changed, cut out, put in, or cut off, anywhere in a file."""
    data = bytearray(data)
    text_end = min(20 + int.from_bytes(data[12:16], "little"), len(data))
    for _ in range(int(rng.integers(1, 4))):
        if not data:
            break
        reach = pick(rng, [20, text_end, len(data)])  # the header, the JSON, anywhere
        at, act = int(rng.integers(max(min(reach, len(data)), 1))), rng.integers(6)
        if act == 0:
            data[at] = int(rng.integers(256))
        elif act == 1:
            data[at] ^= 1 << int(rng.integers(8))
        elif act == 2:
            data[at] = pick(rng, list(b'0123456789-"[]{},:eE.tn'))
        elif act == 3:
            del data[at : at + int(rng.integers(1, 9))]
        elif act == 4:
            data[at:at] = rng.integers(0, 256, int(rng.integers(1, 9)), dtype=np.uint8).tobytes()
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def mutant(seed, samples, others):
    """(suffix, bytes) of the file number `seed`."""
    rng = np.random.default_rng(seed)
    if rng.random() < 0.1:
        suffix, data = pick(rng, others)
        return suffix, scrambled(rng, data)
    sample = samples[pick(rng, sorted(samples))]
    tree, binary = deepcopy(sample.tree), sample.binary
    if rng.random() < 0.25:
        return "glb", scrambled(rng, container(tree, binary))
    for _ in range(int(rng.integers(1, 4))):
        try:
            tree, binary = pick(rng, MUTATIONS)(rng, tree, binary) or (tree, binary)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
            pass  # an earlier mutation took away what this one works on
    if seed % 8 == 7:
        text = text_gltf(tree, binary)
        return "gltf", scrambled(rng, text) if rng.random() < 0.1 else text
    return "glb", container(tree, binary)


# The child


def check(mesh, limits):
    """What every mesh that a loader gives fulfils."""
    v, f = len(mesh.v_pos), len(mesh.t_pos_idx)
    assert mesh.v_pos.shape == (v, 3) and mesh.v_pos.dtype == np.float32
    assert mesh.t_pos_idx.shape == (f, 3) and mesh.t_pos_idx.dtype == np.int32
    assert 0 < f <= limits.triangles and v <= limits.vertices
    assert mesh.t_pos_idx.min() >= 0 and mesh.t_pos_idx.max() < v
    assert np.isfinite(mesh.v_pos[mesh.t_pos_idx]).all()
    assert (np.ptp(mesh.bounds().astype(np.float64), axis=0) > 0).any()
    if mesh.v_color is not None:
        assert mesh.v_color.shape == (v, 3) and mesh.v_color.dtype == np.float32
        assert (mesh.v_color >= 0).all() and (mesh.v_color <= 1).all()
    assert mesh.v_normal.shape == (v, 3) and mesh.v_normal.dtype == np.float32
    length = np.linalg.norm(mesh.v_normal.astype(np.float64), axis=1)
    assert ((length == 0) | (np.abs(length - 1) < 1e-3)).all()
    if not mesh.textures:
        assert mesh.v_uv is None and mesh.t_texture is None
        return
    assert mesh.v_uv.shape == (v, 2) and np.isfinite(mesh.v_uv).all()
    assert mesh.t_texture.shape == (f,) and mesh.t_texture.dtype == np.int32
    assert mesh.t_texture.min() >= -1 and mesh.t_texture.max() < len(mesh.textures)
    for texture in mesh.textures:
        assert texture.image.dtype == np.uint8 and texture.image.shape[2] == 4
        assert 0 < max(texture.image.shape[:2]) <= limits.texture_side
        assert set(texture.wrap) <= {"repeat", "clamp", "mirror"}


def main(first, count, status):
    """Read `count` mutants; die loudly at anything but a valid mesh or a documented reason."""
    samples, others = glb_samples(), other_formats()
    with tempfile.TemporaryDirectory() as folder:
        valid = [("glb", sample.data()) for sample in samples.values()]
        for suffix, data in [*valid, *others]:
            path = Path(folder, f"a.{suffix}")
            path.write_bytes(data)
            check(load_mesh(path, LIMITS, textures=True), LIMITS)  # they are valid to begin with
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        allowed = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (allowed, allowed))
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        outcomes, slowest, begin = Counter(), (0.0, 0), time.process_time()
        for seed in range(first, first + count):
            status.seek(0)
            status.write(f"{seed:12d}")
            status.flush()
            suffix, data = mutant(seed, samples, others)
            path = Path(folder, f"a.{suffix}")
            path.write_bytes(data)
            begun = time.process_time()
            try:
                check(load_mesh(path, LIMITS, textures=seed % 4 > 0), LIMITS)
                outcomes["ok"] += 1
            except ObjectError as error:
                assert error.reason in REASONS, error.reason
                assert str(path) in str(error) and len(str(error)) < 600, str(error)
                outcomes[error.reason] += 1
            slowest = max(slowest, (time.process_time() - begun, seed))
    total = time.process_time() - begin
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    report = {"outcomes": outcomes, "slowest": slowest, "seconds": total}
    print(json.dumps(report | {"grown": (after - before) << 10}))


if __name__ == "__main__":
    with open(sys.argv[3], "w", encoding="ascii") as opened:
        main(int(sys.argv[1]), int(sys.argv[2]), opened)
    os._exit(0)
