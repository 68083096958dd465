"""From what a captioning model said of some views to one caption of the object (after Cap3D).

Luo et al., "Scalable 3D Captioning with Pretrained Models" (NeurIPS 2023): several captions are
sampled of each view and CLIP picks the best of each view. Where they have a language model merge the
winners, the object's caption is here the winner that fits all views best.
"""

import re
from typing import Any

import numpy as np

from sdtool.captioning.english import ADJECTIVES, DETERMINERS, with_article
from sdtool.captioning.nouns import THINGS

BLIP = "Salesforce/blip-image-captioning-large"
"""The default captioning model."""
CLIP = "openai/clip-vit-large-patch14"
"""The default scorer of how well texts fit pictures."""

# What captioners say about the picture instead of the object, found in what they said of renders.
_PICTURE = (
    r"(3d|3 d|three dimensional|cg|cgi|computer generated|digital|low ?-?poly|stylized|white|close|"
    r"close-up|closeup|detailed|simple|side|front|top|rear|back|aerial|isometric|blurry|small) ?"
)
_OF_WHAT = (
    r"(model|models|image|picture|photo|photograph|rendering|render|renderings|illustration|drawing|"
    r"view|up|shot|animation|art|graphic|representation|depiction|printed model|asset)"
)
BEFORE = re.compile(
    r"^(there (is|are|was) |(this|it|that|here) (is|are|'s) |it's |we (can )?see |"
    r"the (image|picture|photo|rendering|render|object) (shows|features|depicts|is|displays) |"
    rf"((an?|the|two|some) )?({_PICTURE})*{_OF_WHAT}( view| image| rendering)? (of|showing) |"
    r"(sure|certainly|okay|answer|caption|description|assistant)[,:!] ?)",
)
AFTER = re.compile(
    r"[,.]?\s*(that is |which is |sitting |standing |lying |floating |shown |placed |set |isolated )?"
    r"((on|in|in front of|against|with|over|at) (an?|the|its|his|plain|pure|solid)? ?"
    r"((plain|pure|solid|clean|light|blank|simple|empty|neutral|grey|gray|white|black|dark) )*"
    r"(background|backdrop|surface|screen)|isolated( on white)?|on white|in (3d|blender|the dark)|"
    r"(stock|royalty free) (photo|image|illustration|picture)s?|3d (model|rendering|render)|"
    r"rendered in 3d|with no background|in this (image|picture))$"
)
NOISE = re.compile(r"\b(araf\w*|arraf\w*|there is$|and a$|with a$|of a$)\b|<[^>]*>|#+|\"|\*+")
DANGLING = re.compile(r"\s+(a|an|the|and|with|of|on|in|at|to|for|that|is|are|by|from|has)$")
REPEATED = re.compile(r"\b(\w+(?:\s+\w+){0,4}?)(?:,?\s+(?:(?:and|with)\s+)?\1\b)+")


def clean_caption(text: str) -> str:
    """A model's caption without talk about the picture, background, noise and stammering.

    "there is a 3d model of a red chair on a white background" → "a red chair". Lower case; only the
    first sentence; "" if nothing is left.
    """
    text = re.split(r"(?<=\w\w)[.!?](?:\s|$)|\n", text.strip() + "\n", maxsplit=1)[0]
    text = re.sub(r"\s+([,.;:])", r"\1", re.sub(r"\s+", " ", text.lower())).strip(" .,;:-'")
    before = None
    while before != text:
        before = text
        text = re.sub(r"\s+", " ", NOISE.sub(" ", text)).strip(" .,;:-'")
        text = REPEATED.sub(r"\1", text)
        text = AFTER.sub("", BEFORE.sub("", text)).strip(" .,;:-'")
        text = DANGLING.sub("", text)
    words = text.split()
    if len(words) < 2 and not set(words) & THINGS or not re.search(r"[a-z]{2}", text):
        return ""
    if words[0] not in DETERMINERS and (words[0] in ADJECTIVES or words[0] in THINGS):
        text = with_article(text)
    return text


def rank_candidates(texts: list[list[str]], scores: list[np.ndarray]) -> dict[str, Any]:
    """Choose among the candidates of one object.

    texts: for each of V views its cleaned candidates, "" for none. scores: for each view (K, V)
    float32, how well each of its K candidates fits each view (the cosine of CLIP's features).

    Returns caption, score (its mean over all views), winners (a list of {caption, score, view}: for
    each view the candidate that fits it best, each text once, the best mean first) and candidates
    (all of them: {caption, view, score: how well it fits its own view}). ValueError if there is none.
    """
    candidates: list[dict[str, Any]] = []
    winners: dict[str, tuple[float, int]] = {}
    for view, (said, fit) in enumerate(zip(texts, scores, strict=True)):
        own = [(float(fit[k, view]), k) for k, text in enumerate(said) if text]
        candidates += [{"caption": said[k], "view": view, "score": _round(s)} for s, k in own]
        if own:
            _, best = max(own, key=lambda pair: (pair[0], -pair[1]))
            winners.setdefault(said[best], (float(fit[best].mean()), view))
    if not winners:
        raise ValueError("no candidates")
    ranked = sorted(winners.items(), key=lambda item: -item[1][0])
    return {
        "caption": ranked[0][0],
        "score": _round(ranked[0][1][0]),
        "winners": [{"caption": t, "score": _round(s), "view": v} for t, (s, v) in ranked],
        "candidates": candidates,
    }


def _round(score: float) -> float:
    return round(score, 4)
