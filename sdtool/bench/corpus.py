"""A made-up collection in Objaverse's layout: 160 shards of annotations that look like real ones.

    python -m sdtool.bench.corpus FOLDER [COUNT]

Fields and types follow a real annotation, with thumbnails in five sizes (3.2 kB of JSON on average):
names as artists write them, tags as frequent as words are (Zipf), descriptions of all lengths and
alphabets.
"""

import gzip
import json
import os
import sys
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np

from sdtool.io.files import atomic_path
from sdtool.runtime.engine import map_items

SHARDS = 160  # as many as Objaverse's
PATHS, LVIS = "object-paths.json.gz", "lvis-annotations.json.gz"

THINGS = (
    "Chair Table Lamp Sword Car House Tree Robot Dragon Helmet Castle Ship Gun Character Bottle Bed "
    "Statue Barrel Shoe Phone Skull Plane Guitar Crate Rock Engine Bust Mug Tower Bike Stuhl Maison "
    "椅子 дом mesa Vase Shield Rifle Truck Cat Horse Spaceship Lantern Bridge Door Ring Watch"
).split()
TRAITS = (
    "Old Wooden Red Small Medieval Sci-Fi Game-Ready Stylized Realistic Rusty Modern My Cute Broken "
    "Final v2 Test 3D Blender PBR Low_Poly lowpoly Free Animated The_ HighPoly Vintage Simple été 🔥"
).split()
FLAWS = (
    "Scan",
    "(Photogrammetry)",
    "point cloud",
    "Scene",
    "WIP",
    "Asset Pack",
    "LowPoly",
    "Voxel",
)
SITE = (
    "Animals & Pets|Architecture|Art & Abstract|Cars & Vehicles|Characters & Creatures|"
    "Cultural Heritage & History|Electronics & Gadgets|Fashion & Style|Food & Drink|"
    "Furniture & Home|Music|Nature & Plants|News & Politics|People|Places & Travel|"
    "Science & Technology|Sports & Fitness|Weapons & Military"
).split("|")
COMMON_TAGS = (
    "lowpoly blender 3d game-ready substancepainter low-poly photogrammetry architecture scan pbr "
    "character weapon furniture vehicle stylized medieval scifi animal maya sketchup blender3d gun "
    "sword house 3dscan game art fantasy wood cartoon realitycapture robot zbrush car statue museum"
).split()
LICENSES = ("by", "by-nc", "by-sa", "by-nc-sa", "cc0", "by-nd", "by-nc-nd")
SENTENCES = (
    "Made in Blender 2.8 and textured with Substance Painter.",
    "A simple model for my game project, feel free to use it!",
    'See more on <a href="http://example.org/">my page</a><br>Thanks for watching &amp; enjoy.',
    "Modelled after a real object in the museum's collection.\n\nPolygons: 12,345",
    "Ein Modell für die Schule. Größe: 1,20 m × 0,80 m.",
    "Первая модель, сделанная в Maya.",
    "テスト用のモデルです。",
    "Textures are 4K, PBR ready, UV unwrapped 👍",
)

TAG = '{"name":"%s","slug":"%s","uri":"https://api.example.org/v3/tags/%s"}'
PICTURE = (
    '{"uid":"%s","size":%d,"width":%d,"url":"https://media.example.org/models/%s/thumbnails/%s/%s.jpeg",'
    '"height":%d}'
)
WIDTHS = (1920, 1024, 720, 256, 64)
IDS = 2 + len(WIDTHS)  # of the object, its owner and its pictures
ANNOTATION = (
    '"%(uid)s":{"uri":"https://api.example.org/v3/models/%(uid)s","uid":"%(uid)s","name":%(name)s,'
    '"staffpickedAt":%(picked)s,"viewCount":%(views)d,"likeCount":%(likes)d,"animationCount":%(moves)d,'
    '"viewerUrl":"https://example.org/3d-models/%(uid)s",'
    '"embedUrl":"https://example.org/models/%(uid)s/embed","commentCount":0,"isDownloadable":true,'
    '"publishedAt":"%(date)s","tags":[%(tags)s],"categories":[%(categories)s],"thumbnails":{"images":'
    '[%(pictures)s]},"user":{"uid":"%(owner)s","username":'
    '"user%(views)d","displayName":"User %(views)d","profileUrl":"https://example.org/user%(views)d",'
    '"account":"basic","avatar":{"uri":"","images":[]},"uri":"https://api.example.org/v3/users/'
    '%(owner)s"},"description":%(description)s,"faceCount":%(source_faces)d,"createdAt":"%(date)s",'
    '"vertexCount":%(vertices)d,"isAgeRestricted":%(adult)s,"archives":{"glb":{"textureCount":6,'
    '"size":%(size)d,"type":"glb","textureMaxResolution":1024,"faceCount":%(faces)d,"vertexCount":'
    '%(vertices)d},"gltf":{"textureCount":6,"size":%(size)d,"type":"gltf","textureMaxResolution":1024,'
    '"faceCount":%(faces)d,"vertexCount":%(vertices)d},"source":{"textureCount":null,"size":1026620,'
    '"type":"source","textureMaxResolution":null,"faceCount":null,"vertexCount":null},"usdz":'
    '{"textureCount":null,"size":1373035,"type":"usdz","textureMaxResolution":null,"faceCount":null,'
    '"vertexCount":null}},"license":"%(license)s"}'
)


def write_corpus(folder: Path, count: int, *, files: bool = True, seed: int = 0) -> None:
    """Write `count` annotations over 160 shards, their object paths and LVIS categories.

    files: also an (empty) GLB for each object, so that it counts as being there.
    """
    write = partial(_write_shard, folder, seed, files)
    starts = np.linspace(0, count, SHARDS + 1).astype(int).tolist()
    ranges = [(n, *ends) for n, ends in enumerate(zip(starts, starts[1:], strict=False))]
    uids: list[list[str]] = [[] for _ in ranges]
    for (shard, _, _), made in map_items(write, ranges):
        if not isinstance(made, list):
            raise made
        uids[shard] = made
    paths = (f'"{uid}":"{_path(shard, uid)}"' for shard, part in enumerate(uids) for uid in part)
    _write_gz(folder / PATHS, "{" + ",".join(paths) + "}")
    known = [uid for part in uids for uid in part[::17]]  # about as many as LVIS names
    lvis = {
        f"{thing.lower()}_{n}": known[n::1156] for n in range(1156) for thing in [THINGS[n % 47]]
    }
    _write_gz(folder / LVIS, json.dumps(lvis))


def _path(shard: int, uid: str) -> str:
    return f"glbs/000-{shard:03d}/{uid}.glb"


def _write_shard(folder: Path, seed: int, files: bool, task: tuple[int, int, int]) -> list[str]:
    """Write one shard of the objects [begin, end); return their uids."""
    shard, begin, end = task
    rng = np.random.default_rng([seed, shard])
    n = end - begin
    digits = rng.bytes(n * 16 * IDS).hex()
    ids = [[digits[32 * k : 32 * k + 32] for k in range(i * IDS, (i + 1) * IDS)] for i in range(n)]
    uids = [_base62(own[0] + own[1]) if own[1][:2] == "00" else own[0] for own in ids]
    pick = _picker(rng, n)
    names, descriptions, tags = _names(), _descriptions(), _tags()
    name, description = pick(len(names)), pick(len(descriptions))
    tag_count = np.minimum(rng.geometric(0.15, n) - 1, 40).tolist()
    tag_from = (rng.zipf(1.3, int(sum(tag_count))) % len(tags)).tolist()
    faces = np.minimum(rng.lognormal(9.0, 2.2, n), 2e7).astype(int).tolist()
    views, likes = rng.integers(0, 9999, n).tolist(), rng.integers(0, 50, n).tolist()
    chance = rng.random((4, n)).tolist()
    category, second, license_ = pick(len(SITE)), pick(len(SITE)), pick(len(LICENSES))
    parts, used = [], 0
    for i, uid in enumerate(uids):
        own = [tags[t] for t in tag_from[used : used + tag_count[i]]]
        used += tag_count[i]
        some = [SITE[category[i]], SITE[second[i]]][: int(chance[0][i] * 3)]
        parts.append(
            ANNOTATION
            % {
                "uid": uid,
                "name": names[name[i]],
                "picked": '"2020-05-04T11:22:33.123456"' if chance[1][i] < 0.01 else "null",
                "views": views[i],
                "likes": likes[i],
                "moves": chance[2][i] < 0.06,
                "date": f"20{12 + views[i] % 11}-0{1 + likes[i] % 9}-18T09:36:25.430631",
                "tags": ",".join(own),
                "categories": ",".join(f'{{"name":"{c}"}}' for c in some),
                "pictures": ",".join(
                    PICTURE % (picture, width * 19, width, uid, ids[i][2], picture, width * 9 // 16)
                    for picture, width in zip(ids[i][2:], WIDTHS, strict=True)
                ),
                "owner": ids[i][1],
                "description": descriptions[description[i]],
                "source_faces": faces[i] + likes[i],
                "faces": faces[i],
                "vertices": faces[i] * 2 // 3,
                "size": faces[i] * 60 + 2000,
                "adult": "true" if chance[3][i] < 0.01 else "false",
                "license": LICENSES[license_[i]],
            }
        )
    _write_gz(folder / "metadata" / f"000-{shard:03d}.json.gz", "{" + ",".join(parts) + "}")
    if files and uids:
        home = folder / "glbs" / f"000-{shard:03d}"
        home.mkdir(parents=True, exist_ok=True)
        (home / f"{uids[0]}.glb").touch()
        for uid in uids[1:]:  # one file under many names, which costs the least
            os.link(home / f"{uids[0]}.glb", home / f"{uid}.glb")
    return uids


def _picker(rng: np.random.Generator, n: int) -> Callable[[int], list[int]]:
    return lambda size: rng.integers(0, size, n).tolist()


def _base62(text: str) -> str:
    """A uid of 27 letters of both cases and digits, as one of 256 objects has."""
    letters = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    number, out = int(text[:54], 16), ""
    for _ in range(27):
        number, rest = divmod(number, 62)
        out += letters[rest]
    return out


@cache
def _names() -> list[str]:
    """8,192 names as JSON."""
    rng = np.random.default_rng(1)
    found = []
    for _ in range(8192):
        words = [TRAITS[i] for i in rng.integers(0, len(TRAITS), rng.integers(0, 4))]
        words.append(THINGS[rng.integers(0, len(THINGS))])
        if rng.random() < 0.08:
            words.append(FLAWS[rng.integers(0, len(FLAWS))])
        if rng.random() < 0.3:
            words.append(f"{rng.integers(0, 99):02d}")
        found.append(("_", " ", " ", "", "-")[rng.integers(0, 5)].join(words))
    return [json.dumps(name) for name in found]


@cache
def _descriptions() -> list[str]:
    """4,096 descriptions as JSON, a third of them empty."""
    rng = np.random.default_rng(2)
    lengths = np.where(rng.random(4096) < 0.33, 0, rng.geometric(0.3, 4096))
    return [
        json.dumps(" ".join(SENTENCES[i] for i in rng.integers(0, len(SENTENCES), n)))
        for n in lengths
    ]


@cache
def _tags() -> list[str]:
    """20,000 tags as JSON, the most frequent first."""
    slugs = COMMON_TAGS + [
        f"{THINGS[i % 47]}-{TRAITS[i % 28]}{i // 40}".lower() for i in range(20_000)
    ]
    return [TAG % (slug, slug, slug) for slug in slugs]


def _write_gz(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_bytes(gzip.compress(text.encode("utf-8"), compresslevel=6, mtime=0))


if __name__ == "__main__":
    write_corpus(Path(sys.argv[1]), int((sys.argv[2:] or ["800000"])[0]))
