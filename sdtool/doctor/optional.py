"""Checks of what sdtool can do without: accelerators, optional packages, larger models."""

import tempfile
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from sdtool.captioning.cap3d import BLIP, CLIP
from sdtool.doctor.check import Absent, Check, expect
from sdtool.doctor.core import CLIP as CORNERS
from sdtool.doctor.core import SIDE, grid_point, triangle_seen

OTHER_TORCH = (
    "pip install --force-reinstall torch  # or as pytorch.org/get-started says for your GPU"
)
DRIVER = "install the driver of the GPU, or run where one is"
FROM_REPOSITORY = (
    "pip install --no-build-isolation git+https://github.com/{}  # needs a CUDA toolkit"
)
TINYCUDANN = "NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch"
DOWNLOAD = (
    "hf download {0} --include '{1}.json' --include '{1}.txt' --include '{1}.safetensors' "
    "--exclude '*.fp16.*' --exclude '*non_ema*'"
)


def _accelerator():
    """The torch device of an accelerator; Absent with the reason if there is none."""
    import torch

    if torch.accelerator.is_available():
        return torch.accelerator.current_accelerator()
    if torch.version.cuda is None:
        why = f"torch {torch.__version__} is built without CUDA, and finds no other accelerator"
        raise Absent(why, OTHER_TORCH)
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:
        raise Absent(str(error).splitlines()[0], DRIVER) from None
    raise Absent("torch finds no accelerator", DRIVER)


def _gpu() -> str:
    import torch

    kind = _accelerator().type
    count = torch.accelerator.device_count()
    a = torch.rand(64, 64, generator=torch.Generator().manual_seed(0))
    for index in range(count):
        square = (a.to(f"{kind}:{index}") @ a.to(f"{kind}:{index}")).cpu()
        expect(torch.allclose(square, a @ a, rtol=1e-2), f"{kind}:{index} multiplies wrongly")
    return f"a product of matrices on each of {count} {kind}"


def _apart(function, *arguments: Any) -> str:
    """What a function of this module or `core` says in a process of its own: what is built from source may
    crash, as tiny-cuda-nn has done, and the other parts are still to be tried."""
    from sdtool.runtime.apart import apart

    return apart(function, *arguments)


def nvdiffrast_on(device: str) -> str:
    """A triangle by nvdiffrast, beside numba's."""
    from sdtool.rendering import nvdiffrast_backend

    nvdiffrast_backend.check(device)
    seen, expected = triangle_seen(device), triangle_seen("cpu")
    expect(seen == expected, f"it sees {seen} pixels of a triangle, numba {expected}")
    return f"a triangle with gradients on {device}, as numba sees it"


def _warp() -> str:
    import torch

    from sdtool.rendering import kernels, warp_backend

    try:
        device = _accelerator()
    except Absent:
        device = torch.device("cpu")
    warp_backend.check(str(device))
    done = grid_point("warp", device)
    pos = torch.tensor([CORNERS])
    faces = torch.tensor([[0, 1, 2]], dtype=torch.int32)
    seen = warp_backend.rasterize(pos.to(device), faces.to(device), (SIDE, SIDE)).cpu()
    expected = torch.from_numpy(kernels.rasterize(pos[0].numpy(), faces.numpy(), SIDE, SIDE))
    expect(torch.allclose(seen[0], expected, atol=1e-6), "it sees another triangle than numba")
    return f"{done}, and a triangle, as numba sees it"


def _ray() -> str:
    from sdtool.runtime.engine_ray import map_on_ray

    found = dict(map_on_ray(abs, [-1], workers=1, timeout=60, recycle=0, memory=0, on_gpus=False))
    expect(found == {-1: 1}, f"its worker answers: {found[-1]}")
    return "a worker answered"


def _init() -> str:
    import numpy as np
    from trimesh.creation import box

    from sdtool.geometry.meshes import Mesh
    from sdtool.lifting.initial import initial_sdf
    from sdtool.meshfiles import write_glb

    solid = box()
    with tempfile.TemporaryDirectory() as folder:
        mesh = Mesh(np.asarray(solid.vertices, np.float32), np.asarray(solid.faces, np.int32))
        path = write_glb(Path(folder, "box.glb"), mesh)
        centre = float(initial_sdf(str(path), 4, 1.0)[2, 2, 2])
    expect(abs(centre + 0.5) < 1e-4, f"a unit box's centre is {centre:.3f} from it, not -0.5")
    return "the distance to a box"


def _open3d() -> str:
    import numpy as np
    from trimesh.creation import icosphere

    from sdtool.geometry import open3d_tools
    from sdtool.geometry.meshes import Mesh

    ball = icosphere(3, radius=0.5)
    v_pos, faces = np.asarray(ball.vertices, np.float32), np.asarray(ball.faces, np.int32)
    points = open3d_tools.Points(v_pos, np.asarray(ball.vertex_normals, np.float32))
    made = open3d_tools.surface_of(points, "pivot", "a ball")
    low, high = made.bounds()
    expect(
        bool(np.allclose([low, high], [[-0.5] * 3, [0.5] * 3], atol=0.02)), "a ball became other"
    )
    _, done = open3d_tools.repair(Mesh(v_pos, faces[1:]))
    expect((done.filled, done.left) == (1, 0), f"a hole of one face: {done}")
    centre = float(open3d_tools.signed_distance(np.zeros((1, 3)), v_pos, faces)[0])
    expect(abs(centre + 0.5) < 0.01, f"the middle of a ball is {centre:.3f} from it, not -0.5")
    return "a distance, a surface of points and a hole"


def _print() -> str:
    import numpy as np
    from trimesh.creation import box

    from sdtool.exporting.three_mf import three_mf_bytes
    from sdtool.geometry import manifolds
    from sdtool.geometry.meshes import Mesh, merge

    if find_spec("manifold3d") is None:
        raise Absent("the package manifold3d is not installed")
    solid = box()
    v_pos, faces = np.asarray(solid.vertices, np.float32), np.asarray(solid.faces, np.int32)
    found = manifolds.united(merge([Mesh(v_pos, faces), Mesh(v_pos + np.float32(0.5), faces)]))
    expect(found is not None and found[1] == 2, "two boxes that overlap are no body to it")
    data = three_mf_bytes(Mesh(v_pos, faces), np.zeros((12, 3, 3), np.float32), "box", "sdtool", "")
    expect(data.startswith(b"PK"), "a .3mf is no package")
    return f"two boxes united, and a .3mf of {len(data)} bytes"


def _usdz() -> str:
    from sdtool.exporting import usdz

    pxr = usdz.library()
    stage = pxr.Usd.Stage.CreateInMemory()
    pxr.UsdGeom.Xform.Define(stage, usdz.ROOT)
    expect(stage.GetPrimAtPath(usdz.ROOT).IsValid(), "a stage lost what was defined in it")
    return "a stage of one prim"


def _decoder(name: str) -> str:
    import numpy as np

    from sdtool.meshfiles import read_glb

    with resources.as_file(resources.files("sdtool") / "doctor" / f"{name}.glb") as path:
        mesh = read_glb(path)
    low, high = mesh.bounds()
    right = len(mesh.t_pos_idx) == 4 and np.allclose([low, high], [[0, 0, 0], [1, 2, 3]], atol=0.01)
    expect(right, "a compressed tetrahedron came back as something else")
    return "a compressed tetrahedron decoded"


def _tables() -> str:
    from sdtool.filtering.parquet import parquet_rows, write_parquet

    rows: list[dict[str, Any]] = [{"uid": "a", "score": 1.5}, {"uid": "b", "score": None}]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.parquet")
        write_parquet(path, rows)
        expect(list(parquet_rows(path)) == rows, "a Parquet file came back as something else")
    return "a Parquet file of two rows"


def _objaverse() -> str:
    from sdtool.filtering.fetching import choose_origin

    return f"{choose_origin(None).name} is there; its server was not asked"


def _tensorboard() -> str:
    from sdtool.training.tensorboard import open_tensorboard

    with tempfile.TemporaryDirectory() as folder:
        open_tensorboard(Path(folder), 0)({"step": 1, "loss": 0.5})
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    expect(size > 0, "it wrote nothing")
    return f"a point of a curve, {size} bytes"


def _lora() -> str:
    import torch

    from sdtool.priors.adapters import adapter_rank
    from sdtool.priors.bundled import TINY
    from sdtool.priors.loading import load_base
    from sdtool.priors.lora import fresh_adapter

    base = load_base(TINY, with_text=False)
    agp = fresh_adapter(base, 2, torch.Generator().manual_seed(0))
    side = base.sample_size
    x, t, text = torch.ones(1, 4, side, side), torch.tensor([500]), torch.ones(1, 1, 128)
    with torch.no_grad():
        same = torch.equal(agp.predict(x, t, text, torch.eye(4)[None]), base.predict(x, t, text))
    expect(same, "fresh adapters change what their base predicts")
    return f"adapters of rank {adapter_rank(agp.unet)} on the tiny base"


def _tracker(name: str) -> str:
    from sdtool.training.trackers import open_tracker

    with tempfile.TemporaryDirectory() as folder:
        write, finish = open_tracker(name, Path(folder), {"steps": 1}, on_cpu=True)
        write({"step": 1, "loss": 0.5})
        finish()
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    expect(size > 0, "it wrote nothing")
    return f"a point of a curve, {size} bytes"


def _in_cache(weights: dict[str, tuple[str, ...]]) -> str:
    """The hub cache holds these files of these models, none of them cut off."""
    from huggingface_hub import constants, try_to_load_from_cache
    from safetensors import safe_open

    count = 0
    for model, names in weights.items():
        for name in names:
            path = try_to_load_from_cache(model, name)
            if not isinstance(path, str):
                why = (
                    "this machine is offline"
                    if constants.HF_HUB_OFFLINE
                    else "sdtool would fetch it when needed"
                )
                files = "*/*" if "/" in name else "*"
                cure = " && ".join(DOWNLOAD.format(model, files) for model in weights)
                raise Absent(f"{model} is not in the hub cache; {why}", cure)
            with safe_open(path, framework="numpy") as file:
                count += len(file.keys())
    return f"{count} tensors in the hub cache"


def _stable_diffusion() -> str:
    from sdtool.priors.cards import SD21_BASE

    parts = ("unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model")
    return _in_cache({SD21_BASE: tuple(f"{part}.safetensors" for part in parts)})


def _captioner() -> str:
    return _in_cache({BLIP: ("model.safetensors",), CLIP: ("model.safetensors",)})


def _extra(name: str, run, module: str) -> Check:
    return Check(name, run, module=module, cure=f"pip install 'sdtool[{name}]'")


OPTIONAL = (
    Check("gpu", _gpu),
    Check(
        "nvdiffrast",
        lambda: _apart(nvdiffrast_on, str(_accelerator())),
        module="nvdiffrast",
        cure=FROM_REPOSITORY.format("NVlabs/nvdiffrast"),
    ),
    Check(
        "tinycudann",
        lambda: _apart(grid_point, "tinycudann", str(_accelerator())),
        module="tinycudann",
        cure="pip install 'setuptools<81' && " + FROM_REPOSITORY.format(TINYCUDANN),
    ),
    Check("warp", _warp, module="warp", cure="pip install 'sdtool[cuda]'"),
    _extra("ray", _ray, "ray"),
    _extra("init", _init, "igl"),
    _extra("open3d", _open3d, "open3d"),
    _extra("print", _print, "lib3mf"),
    _extra("usdz", _usdz, "pxr"),
    _extra("draco", lambda: _decoder("draco"), "DracoPy"),
    _extra("meshopt", lambda: _decoder("meshopt"), "meshopt"),
    _extra("tables", _tables, "pyarrow"),
    _extra("objaverse", _objaverse, "objaverse"),
    _extra("tensorboard", _tensorboard, "tensorboard"),
    _extra("lora", _lora, "peft"),
    _extra("wandb", lambda: _apart(_tracker, "wandb"), "wandb"),
    _extra("trackio", lambda: _apart(_tracker, "trackio"), "trackio"),
    Check("stable-diffusion", _stable_diffusion),
    Check("captioner", _captioner),
)
"""Each may be missing; what was not asked for is no failure."""
