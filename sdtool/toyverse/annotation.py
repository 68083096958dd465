"""An annotation in the form of Objaverse's: the same fields and types, invented by no artist."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdtool.geometry.meshes import Mesh
from sdtool.toyverse.catalogue import CATEGORIES
from sdtool.toyverse.words import article

if TYPE_CHECKING:
    from sdtool.toyverse.designs import Design

DATE = "2024-01-01T00:00:00"  # fixed, so that the same seed gives the same files


@dataclass(frozen=True)
class Flaw:
    """How artists label a flawed upload. name and sentence hold `{}` for the object's own words."""

    name: str
    sentence: str
    tags: tuple[str, ...]


def annotate(
    uid: str, design: "Design", mesh: Mesh | None, flaw: Flaw | None = None
) -> dict[str, Any]:
    """The annotation of one object, as Objaverse's metadata shards hold it.

    `archives.glb.size` is 0 until the file is written.
    """
    entry, category = CATEGORIES[design.category], design.category
    phrase = design.phrase()
    name = phrase.title()
    sentence = f"{article(phrase)}{',' if design.extra else ''} {entry.clause}."
    said = (design.said_colour, design.material, design.trait, design.extra)
    tags = [category, *entry.tags, *(word for word in said if word), "toy"]
    if flaw is not None:
        name = flaw.name.format(name)
        sentence = flaw.sentence.format(article(phrase))
        tags = [*flaw.tags, category] if flaw.tags else []
    faces = 0 if mesh is None else len(mesh.t_pos_idx)
    vertices = 0 if mesh is None else len(mesh.v_pos)
    return {
        "uri": "",
        "uid": uid,
        "name": name,
        "staffpickedAt": None,
        "viewCount": 0,
        "likeCount": 0,
        "animationCount": 0,
        "viewerUrl": "",
        "embedUrl": "",
        "commentCount": 0,
        "isDownloadable": True,
        "publishedAt": DATE,
        "tags": [{"name": tag, "slug": tag.replace(" ", "-"), "uri": ""} for tag in tags],
        "categories": [{"name": entry.group}],
        "thumbnails": {"images": []},
        "user": {
            "uri": "",
            "uid": "",
            "username": "sdtool",
            "displayName": "sdtool toyverse",
            "profileUrl": "",
            "account": "basic",
            "avatar": {"uri": "", "images": []},
        },
        "description": sentence[0].upper() + sentence[1:],
        "faceCount": faces,
        "createdAt": DATE,
        "vertexCount": vertices,
        "isAgeRestricted": False,
        "archives": {
            "glb": {
                "textureCount": 0,
                "size": 0,
                "type": "glb",
                "textureMaxResolution": 0,
                "faceCount": faces,
                "vertexCount": vertices,
            }
        },
        "license": "cc0",
    }
