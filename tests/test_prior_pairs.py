"""The two priors of a lift share a text encoder where they have the same, and have none when it is done."""

import json
import shutil

import pytest
import torch
from prior_samples import write_stable_diffusion
from safetensors.torch import load_file, save_file

from sdtool.priors import pairs
from sdtool.priors.agp import fresh_agp
from sdtool.priors.loading import load_base
from sdtool.priors.model_card import save_agp
from sdtool.priors.text import same_text_encoder
from sdtool.priors.two_encoders import load_encoders

WORDS = ["a red corgi", "a blue chair, front view"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small Stable Diffusion, and below `agp` an AGP of it."""
    folder = write_stable_diffusion(tmp_path_factory.mktemp("sd") / "base", WORDS)
    agp = fresh_agp(load_base(folder), torch.Generator().manual_seed(0))
    save_agp(agp, folder.parent / "agp", base=str(folder), facts={"steps": 0})
    return folder


def loaded(monkeypatch) -> list:
    """The folders whose text encoders are loaded from now on."""
    found = []
    monkeypatch.setattr(
        pairs, "load_encoders", lambda f, dtype: found.append(f) or load_encoders(f, dtype)
    )
    return found


def lent(folder, base):
    """The text encoders that a base and the AGP are lent, and the base's embeddings."""
    priors = pairs.load_pair(base, folder.parent / "agp", "cpu", torch.float32)
    assert priors[0].text is None and priors[1].text is None
    with pairs.text_encoders(*priors):
        texts, embedded = [prior.text for prior in priors], priors[0].encode_text(WORDS)
    assert priors[0].text is None and priors[1].text is None
    with pytest.raises(ValueError, match="no text encoder"):
        priors[1].encode_text(WORDS)
    with pairs.text_encoders(*priors):  # for the next prompt
        assert torch.equal(priors[0].encode_text(WORDS), embedded)
    return texts, embedded


def test_an_agp_and_its_own_base_have_one_text_encoder(folder, monkeypatch):
    found = loaded(monkeypatch)
    (one, other), embedded = lent(folder, folder)
    assert one is other and found == [folder] * 2  # once for each of two prompts
    assert not any(p.requires_grad for p in one.parameters()) and not one.training
    assert torch.equal(embedded, load_base(folder).encode_text(WORDS))


def test_a_copy_with_another_history_is_the_same_and_other_weights_or_words_are_not(
    folder, monkeypatch, tmp_path
):
    copy = shutil.copytree(folder, tmp_path / "copy")
    path = copy / "text_encoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"transformers_version": "4.0"}))
    found = loaded(monkeypatch)
    (one, other), _ = lent(folder, copy)
    assert one is other and found == [copy] * 2

    path.write_text(json.dumps(json.loads(path.read_text()) | {"hidden_act": "gelu"}))
    assert not same_text_encoder(copy, folder)
    shutil.copy(folder / "text_encoder" / "config.json", path)
    assert same_text_encoder(copy, folder)

    path = copy / "text_encoder" / "model.safetensors"
    weights = load_file(path)
    next(iter(weights.values())).view(-1)[0] += 1
    save_file(weights, path, metadata={"format": "pt"})
    (one, other), _ = lent(folder, copy)
    assert one is not other and found[-2:] == [copy, folder]
    shutil.copy(folder / "text_encoder" / "model.safetensors", path)

    (copy / "tokenizer" / "more.txt").write_text("x")
    assert not same_text_encoder(copy, folder)
