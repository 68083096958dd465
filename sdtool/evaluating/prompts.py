"""What an asset was made from: its prompt, and who says so.

In this order: the `--table`; the lift's own record; the extras of a glTF file; the list of `--prompts` or
of the protocol, where the file's name spells one of its prompts; the words of the file's name, as the
captioner reads them. The name of the folder stands in for a file's name that says nothing.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdtool.captioning.english import with_article
from sdtool.captioning.file_names import read_file_name
from sdtool.errors import InputError, ObjectError
from sdtool.evaluating.assets import Asset, absolute, category_of
from sdtool.io.files import read_json
from sdtool.io.folders import GLTF_SUFFIXES
from sdtool.io.stage_record import DONE, PARTIAL
from sdtool.lifting.folders import slug

BY_TABLE, BY_LIFT, BY_EXTRAS, BY_LIST, BY_NAME = "table", "lift", "extras", "list", "file name"

SAYS_NOTHING = frozenset(
    """3d asset baked exported export file final generated generation glb gltf material mesh model
    obj object out output refined result results sample scene shape stage textured texture untitled
    cube unnamed tmp test""".split()
)
"""Words of file names that programs give to whatever they write; Blender's first cube is one."""
SEEDS = 1 << 63  # from 0 up to, but not, this
DIGEST = re.compile(r"--[0-9a-f]{8}$")  # of a lift
SEED = re.compile(r"(?i)(?:^|[-_. ])seed[-_. ]?([0-9]{1,18})$")


def with_prompts(
    assets: Sequence[Asset], listed: Sequence[str] = (), odd: dict[Path, Any] | None = None
) -> list[Asset]:
    """The assets with their prompts, and the seeds that their lifts, their extras or their names name.

    listed: prompts that file names may spell (`spelled`): `a-corgi`, `corgi_seed3` and `007_A Corgi` all
    spell "a corgi". An asset that has a prompt keeps it. All prompts are of one line (`one_line`).
    odd: gets the paths whose lift or extras name a seed that is none, and what they name.
    """
    by_letters = {
        spelled(prompt): one_line(prompt) for prompt in reversed(listed) if spelled(prompt)
    }
    return [_with_prompt(asset, by_letters, {} if odd is None else odd) for asset in assets]


def one_line(prompt: str) -> str:
    """The prompt with one blank for many and for line breaks, and none around it."""
    return " ".join(prompt.split())


def spelled(prompt: str) -> str:
    """The letters and digits of a prompt without its article, the same however it is written."""
    return re.sub(r"^(a|an|the)-", "", slug(prompt))


def _with_prompt(asset: Asset, listed: dict[str, str], odd: dict[Path, Any]) -> Asset:
    told, teller = _own_words(asset)
    prompt, seed = told.get("prompt"), told.get("seed")
    if seed is not None and not (type(seed) is int and 0 <= seed < SEEDS):
        odd[asset.path], seed = seed, None
    if asset.seed is None:
        asset = replace(asset, seed=_seed_in_name(asset) if seed is None else seed)
    if asset.prompt:
        return asset
    if isinstance(prompt, str) and prompt.strip():
        return replace(asset, prompt=one_line(prompt), prompt_from=teller)
    for name in _names(asset):
        for tail in _shorter(name):
            if found := listed.get(spelled(tail)):
                return replace(asset, prompt=found, prompt_from=BY_LIST)
    for name in _names(asset):
        if found := prompt_in_name(name):
            return replace(asset, prompt=found, prompt_from=BY_NAME)
    return asset


def _own_words(asset: Asset) -> tuple[dict[str, Any], str]:
    """What a lift's record, or a glTF file's extras, say of it; {} if nothing."""
    try:
        if not asset.path.is_dir():
            return _extras(asset), BY_EXTRAS
        record = read_json(asset.path / (PARTIAL if asset.unfinished else DONE))
    except (InputError, ObjectError):
        return {}, ""
    params = record.get("params") if isinstance(record, dict) else None
    return (params, BY_LIFT) if isinstance(params, dict) else ({}, "")


def _extras(asset: Asset) -> dict[str, Any]:
    """The extras of the file, of its scenes where the file as such has no prompt."""
    if asset.path.suffix.lower() not in GLTF_SUFFIXES:
        return {}
    from sdtool.meshfiles.gltf_tree import GlbTree
    from sdtool.meshfiles.limits import Limits

    file = GlbTree(asset.path, Limits())
    scenes = file.tree.get("scenes")
    found = [file.extras]
    for scene in scenes if isinstance(scenes, list) else []:
        extras = scene.get("extras") if isinstance(scene, dict) else None
        found.append(extras if isinstance(extras, dict) else {})
    return next((extras for extras in found if extras.get("prompt")), file.extras)


def _names(asset: Asset) -> list[str]:
    """The names that may say what it is: its own, and its folder's if that is not the method's."""
    folder = absolute(asset.path).parent.name
    inner = [folder] if folder != asset.method.rpartition("/")[2] and _is_vague(asset.name) else []
    return [asset.name, *inner]


def _is_vague(name: str) -> bool:
    """Whether no word of a name says what the thing is."""
    words = re.findall(r"[a-z]+", name.lower())
    return all(word in SAYS_NOTHING or len(word) < 3 or word == "seed" for word in words)


def _seed_in_name(asset: Asset) -> int | None:
    """The seed at the end of a name, as in corgi_seed3 and corgi-seed-3; None if there is none."""
    bare = (DIGEST.sub("", name) for name in _names(asset))
    return next((int(found[1]) for one in bare if (found := SEED.search(one))), None)


def _shorter(name: str) -> list[str]:
    """A name, and the same without what numbers it: a lift's digest, a seed or a number behind it or
    before it."""
    bare = DIGEST.sub("", name)
    behind = re.sub(r"(?i)([-_. ]+(seed|sample|v|s|n|no|nr))?[-_. ]*\d+$", "", bare)
    found = [name, bare, behind, *(re.sub(r"^\d+[-_. ]+", "", one) for one in (bare, behind))]
    return [one for one in dict.fromkeys(found) if one]


def prompt_in_name(name: str) -> str:
    """The phrase that a file's name spells, with its article; "" if it names nothing that is known.

    "a-red-chair_2" → "a red chair"; "chair_A_wood" → "a wooden chair"; "model" → "".
    """
    short = _shorter(name)[-1] if _shorter(name) else ""
    words = re.findall(r"[^\W\d_]+", short)
    if not words or _is_vague(short):
        return ""
    if words[0].lower() in ("a", "an", "the") and len(words) > 1:
        return " ".join(words).lower()
    if read := read_file_name(short):
        return read[0]
    phrase = " ".join(words).lower()
    return with_article(phrase) if category_of(phrase) else ""
