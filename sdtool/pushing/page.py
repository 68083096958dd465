"""The page of an AGP on a model hub: its model card, with what hubs read at its head."""

from huggingface_hub import ModelCard, ModelCardData

from sdtool.priors.bundled import TINY

TAGS = ("sdtool", "canonical-coordinate-map", "aligned-geometric-prior")
HEADING = "\n## Use\n"


def page(text: str, repository: str, base: str, license: str) -> str:
    """The model card `text` ("" if there is none) as the page of `repository`.

    Its head names the licence (`license`, by the hub's own name), the base where a hub has it, library,
    pipeline and tags; its end says how to use it, and that the base's licence holds.
    """
    card = ModelCard(text) if text else ModelCard("---\n---\n\n# An aligned geometric prior\n")
    data = card.data
    assert isinstance(data, ModelCardData)
    data.license = license
    data.base_model = None if base == TINY else base
    data.library_name = data.library_name or "diffusers"
    data.pipeline_tag = data.pipeline_tag or "text-to-3d"
    data.tags = list(dict.fromkeys([*(data.tags or []), *TAGS]))
    body = card.text.partition(HEADING)[0].strip()  # what an earlier push wrote goes
    of = "the tiny prior that sdtool brings along" if base == TINY else f"its base, `{base}`"
    end = f"""{HEADING}
    sdtool lift "a corgi" --agp {repository}

## Licence

`{license}`, as {of}, from which it was trained."""
    return f"---\n{data.to_yaml()}\n---\n\n{body}\n{end}\n"
