"""Cleaning names and tags: what artists, programs and shops put around the words that matter."""

import html
import re
import unicodedata
from functools import lru_cache

from sdtool.io.names import readable

# Words that say how a file was made or offered, not what it shows: dropped from names and tags.
ABOUT_THE_FILE = frozenset(
    """3d 3dmodel 4k 8k 2k hd pbr fbx obj glb gltf stl dae blend blender maya zbrush unity unreal ue4
    ue5 sketchfab lowpoly highpoly midpoly gameready rigged unrigged animated textured untextured uv
    final wip download downloadable free freebie export exported untitled model modello modelo mesh
    lod lod0 lod1 lod2 lod3 asset assets render rendered retopo retopology decimated optimized
    optimised baked unwrapped outdated updated deprecated hipoly hp lp vr ar mixamo quixel
    photogrammetry photoscan 3dscan scan scanned realitycapture polycam metashape
    spark2017 sculptjanuary inktober freemodel""".split()
)
# Tags that name no thing, though they could be a word of a name.
ABOUT_THE_MAKING = ABOUT_THE_FILE | frozenset(
    """3dart 3dprint 3dprintable 3dprinting 3dsmax 3dmax animation ar art artstation b3d blender3d
    blendercycles c4d cad cc0 cgi challenge character3d cinema4d cycles design digital digital3d
    eevee fanart freemodel fusion360 game gameart gameasset gameassets gamedev handpainted
    hardsurface highquality hq learning marmoset max modeling modelling new nft nomad photorealistic
    practice printable project prop props quixel realistic school sculpt sculpting solidworks
    student stylized subd substance substancepainter test texture textures tinkercad unity3d
    unrealengine uvmapped vertexcolors videogame vr agisoft archviz artec autodesk b3d basemesh
    beginner blender28 blockbench magicavoxel voxel commission concept conceptart course cryengine
    daily dailychallenge diffuse environment3d exam fantasyart first firstmodel free3dmodel
    freetoplay godot handpaint homework instant isometric keyshot lidar lowpolymodel minecraft mobile
    modo noai normalmap oculus originalcharacter pack photomodel portfolio print prototype quest
    revit rhino3d roblox render3d rhinoceros3d scene3d sculpture3d sketchup skp speedsculpt study
    subdivision terragen tutorial university virtualreality vrchat webgl work zbrushcore""".split()
)
# Words with which a name says nothing, if it holds no others.
SAYS_NOTHING = frozenset(
    """a an and another asdf asdfgh asdfghjkl assembly assignment attempt backup basic by class
    collection copy course daily day default demo draft edit example exercise experiment file first
    for from group hello high homework idk img in join lesson low main me merged misc my name new no
    noname object of old one other out output part practice preview product project qwerty random
    sample scene sculpt sculpting second set simple sketch something spam stuff test testing texture
    textures the thing things this to trial try tutorial upload week work xxx your
    dsc dscf dscn pic image photo screenshot snapshot capture unnamed unknown none null temp tmp
    undefined assets bundle pack day1 submission final1 uni university school year layout
    structure prototype commission studio nul tinker challenge weekly monthly poly surface node material
    pcube psphere pcylinder pplane polysurface lambert school pcube1 game level""".split()
)
# Invented words of the names that Tinkercad gives to designs ("Copy of Smashing Bombul-Gaaris").
TINKERCAD = frozenset(
    """allis amberis amur bigery blad blorr bojo bombul borwo bruticus crift curcan densor duup
    elzing esboo fulffy fyyran gaaris gogo habbi hango hillar inari jaagub jaban jarv jofo kasi
    kieran krunk kup lahdi lappi leelo luulia maimu migelo rottis sango snaget snicket stantia
    tumelo tuthlo uusam vihelmo waasa wluff wolt""".split()
)
PHRASES = re.compile(
    r"\b(free\s+download|(low|high|mid|hi)[\s-]?(poly(gon)?|res)|game[\s-]?ready|vr\s*/?\s*ar|"
    r"royalty[\s-]free|for\s+(free|sale|unity|unreal|blender|games?|vr(chat)?|3d\s*print\w*)|"
    r"made\s+(in|with)\s+\w+|work\s+in\s+progress|test\s+upload|3d[\s-]?scan(ned)?|3d[\s-]?print\w*|"
    r"(copy|backup|render|model|scan|sculpt|replica) of|hand[\s-]?painted|day\s*\d+|week\s*\d+|"
    r"assignment\s*\d*|homework\s*\d*|exercise\s*\d+|inspired\s+by.*|based\s+on.*|"
    r"commission\s+for.*|for\s+my\s.*|^daily\b|((sketchfab|daily|weekly|monthly)\s+)+challenge|"
    r"(please\s+)?(like|subscribe|follow)\b.*|link\s+in.*|buy\s+.*)",
    re.IGNORECASE,
)
SUFFIX = re.compile(
    r"\.(blend\d?|fbx|obj|glb|gltf|stl|ply|off|dae|3ds|3dm|max|c4d|ma|mb|zip|rar|7z|skp|step|stp|"
    r"dxf|dwg|x3d|wrl|iges|igs|usdz?|abc|ztl|zpr|vox|sldprt|f3d|rvt|ifc|vrm|png|jpe?g|tga|psd|"
    r"cleaner|materialmerger|gles|rip|osgb)(?![a-z])|\.\d{2,}$",
    re.IGNORECASE,
)
VERSION = re.compile(
    r"\b(v|ver|version|rev|take|draft|vol|volume|pt|nr|no|iter)[\s.]*\d+(\.\d+)*[a-z]?\b",
    re.IGNORECASE,
)
AMOUNT = re.compile(
    r"[$€£]\s*\d+(\.\d+)?|[-+]?\b\d+([.,]\d+)?\s*(%|mm|cm|m|ft|inch(es)?|kg|px|mb|k|€|\$|"
    r"k?\s?(tris?|polys?|polygons|faces|verts|vertices|triangles))(?![a-z])(\s*x(?=\s*\d))?",
    re.IGNORECASE,
)
ASIDES = re.compile(r"\[[^\]]*\]|\([^)]*\)|\{[^}]*\}|<[^>]*>|https?://\S+|www\.\S+|[#@]\w+")
ENGINE_PREFIX = re.compile(
    r"^(?:(?:sm|sk|bp|mi?|t|env|prp|prop|geo|msh|mdl|obj|mesh|tex|char|chr)_+"
    r"(?:(?:bld|env|veh|prop|wep|chr|itm|gen)_+)?)",
    re.I,
)
BY_SOMEBODY = re.compile(r"(?<=\w)\s+by\s+(?!The\b|A\b)(?=[A-Z@])[^|;,]*$")
OPEN_ASIDE = re.compile(r"[\[({<][^\])}>]*$")
CAMEL = re.compile(r"(?<=[a-z]{2})(?=[A-Z][a-z])")
TITLE = re.compile(r"\b(St|Mr|Mrs|Dr)\.\s", re.IGNORECASE)
AND = re.compile(r"(?<=\w\w)\s*[&+]\s*(?=\w\w)")
WITH = re.compile(r"\s+w/\s*")
PARTS = re.compile(r"[|;:,/\\~•]|\s[-–—]+\s|[.!?…]+(?:\s|$)")
HYPHEN = re.compile(r"(?<![A-Z\d])-(?=\D)")
COUNTER = re.compile(r"(?<=[A-Za-z]{3})\d+$")
CODE = re.compile(r"\d+|[a-z]\d|\d+[a-z]{1,2}")
TAG_BREAK = re.compile(r"[-_\s]+")
TWO_LETTERS = re.compile(r"[^\W\d_]{2}")
WORD = re.compile(r"[^\W_]+(?:['’.&-][^\W_]+)*")
DANGLING = frozenset("of for by with and from in on at to the a an w".split())
VARIANT = frozenset(
    "low high copy backup old new edit fix fixed alt var opt pack bundle collection game".split()
)
_AT_NO_END = DANGLING | VARIANT


@lru_cache(1 << 10)
def clean_name(name: str) -> str:
    """A name without file suffixes, version numbers, hashtags, brackets and talk about the file.

    "Chair_v2_FINAL.blend" → "Chair"; "RED WOODEN CHAIR (free download)" → "Red Wooden Chair".
    Empty if nothing is left that could be a word for the object.
    """
    text = unicodedata.normalize("NFKC", readable(html.unescape(name[:400]))).replace("’", "'")
    text = OPEN_ASIDE.sub(" ", SUFFIX.sub(" ", ASIDES.sub(" ", text)))
    text = ENGINE_PREFIX.sub("", text.strip()).replace("_", " ")
    text = CAMEL.sub(" ", text)  # WoodenChair → Wooden Chair
    if "." in text:
        text = TITLE.sub(r"\1 ", text)
    if "&" in text or "+" in text:
        text = AND.sub(" and ", text)
    if "/" in text:
        text = WITH.sub(" with ", text)
    text = AMOUNT.sub(" ", BY_SOMEBODY.sub(" ", PHRASES.sub(" ", VERSION.sub(" ", text))))
    parts = (_clean_words(part) for part in PARTS.split(text))
    return next((part for part in parts if part), "")


def _clean_words(text: str) -> str:
    """The words of a text but those about the file, codes, counters ("03", "a1") and shouting."""
    if " " not in text.strip():
        text = HYPHEN.sub(" ", text)  # red-chair: a file's way; not X-wing
    words = []
    for word in WORD.findall(text):
        if not word.isalpha():
            word = COUNTER.sub("", word)  # chair01 → chair
            if CODE.fullmatch(word) or sum(map(str.isdecimal, word)) > 3:
                continue
        if word.lower() not in ABOUT_THE_FILE:
            words.append(word)
    while words and words[0].lower() in DANGLING - {"the", "a", "an"}:  # "3D model of a cat"
        words = words[1:]
    while len(words) > 1 and (
        words[-1].lower() in _AT_NO_END or len(words[-1]) == 1
    ):  # "crate A", "house low"
        words = words[:-1]
    bare = {word.lower() for word in words}
    if bare <= SAYS_NOTHING or any(not TINKERCAD.isdisjoint(word.split("-")) for word in bare):
        return ""
    if not any(len(set(word.lower())) > 1 for word in words):  # "aaaa"
        return ""
    loud = all(word.isupper() for word in words)
    return " ".join(w.capitalize() if w.isupper() and (loud or len(w) > 3) else w for w in words)


@lru_cache(1 << 14)
def clean_tag(tag: str) -> str:
    """A tag in lower case with spaces; "" if it is about the file or holds no words."""
    text = TAG_BREAK.sub(" ", unicodedata.normalize("NFKC", readable(tag)).lower()).strip("# ")
    text = {"sci fi": "sci-fi", "scifi": "sci-fi", "post apocalyptic": "post-apocalyptic"}.get(
        text, text
    )
    about = text.replace(" ", "") in ABOUT_THE_MAKING or PHRASES.search(text)
    return "" if about or not TWO_LETTERS.search(text) else text


def first_sentence(description: str) -> str:
    """The first sentence of a description if it is a noun phrase ("A chair with …"); else ""."""
    if not description:
        return ""
    text = re.sub(r"<[^>]*>", " ", readable(html.unescape(description[:2000]))).strip()
    text = re.split(r"(?<=\w\w)[.!?](?:\s|$)|\n", text + "\n", maxsplit=1)[0]
    text = re.sub(r"^this (is|shows) ", "", text, flags=re.IGNORECASE)
    words = re.sub(r"\s+", " ", text).rstrip(" .,;:").split()
    bare = {re.sub(r"\W", "", word.lower()) for word in words}
    if not 3 <= len(words) <= 30 or words[0].lower() not in ("a", "an", "the"):
        return ""
    if "http" in text or bare & (ABOUT_THE_FILE | {"i", "my", "you", "your", "for", "made"}):
        return ""
    return " ".join([words[0].lower(), *words[1:]])
