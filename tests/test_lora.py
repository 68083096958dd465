"""An AGP of low-rank adapters: trained, stored as peft has it, loaded, merged, and on its base's own UNet."""

import json
import os
import shutil
import sys
import threading
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from checkpoint_samples import write_checkpoint
from prior_samples import write_sdxl, write_stable_diffusion, write_version, write_views
from safetensors.torch import load_file, save_file

from sdtool.cli import run
from sdtool.errors import InputError, UsageError
from sdtool.io.files import read_json, write_json
from sdtool.io.stage_record import digest
from sdtool.priors import pairs, split
from sdtool.priors import traced as records
from sdtool.priors.adapters import (
    adapted_layers,
    adapter_parts,
    adapter_rank,
    fingerprint,
    has_adapter,
)
from sdtool.priors.agp import fresh_agp
from sdtool.priors.cards import ADAPTER, ADAPTER_WEIGHTS, FINGERPRINT
from sdtool.priors.fresh import fresh_base
from sdtool.priors.loading import load_agp, load_base
from sdtool.priors.model_card import save_agp
from sdtool.priors.models import UNet2DConditionModel, _AnyLayer, _peft_out_of_sight
from sdtool.priors.pairs import load_pair, text_encoders
from sdtool.priors.prior import camera_vector
from sdtool.priors.traced import traced
from sdtool.training import checkpoints, loop

if find_spec("peft") is None:
    pytest.skip("needs peft", allow_module_level=True)
from sdtool.priors.lora import fresh_adapter, hold_base_in, library  # noqa: E402

pytestmark = pytest.mark.slow

CAPTIONS = ["a red disc", "a blue square"]
RANK = 3


def draw(agp, seed=7):
    """Give an AGP of adapters other values than those it begins with."""
    generator = torch.Generator().manual_seed(seed)
    for part in adapter_parts(agp.unet).values():
        for parameter in part.parameters():
            parameter.data.copy_(0.2 * torch.randn(parameter.shape, generator=generator))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_stable_diffusion(tmp_path_factory.mktemp("sd") / "base", CAPTIONS)


@pytest.fixture(scope="module")
def agp(base):
    """The folder of an AGP of adapters with random values, beside its base."""
    prior = fresh_adapter(load_base(base), RANK, torch.Generator().manual_seed(0))
    draw(prior)
    facts = {"lora": RANK, FINGERPRINT: fingerprint(base), "camera": {}}
    save_agp(prior, base.parent / "agp", base="../base", facts=facts)
    return base.parent / "agp"


@pytest.fixture
def copied(base, agp, tmp_path):
    """Copies of both, to be spoiled: the folder of the AGP."""
    shutil.copytree(base, tmp_path / "base")
    return Path(shutil.copytree(agp, tmp_path / "agp"))


def asked(prior, rows=3):
    """What a prior predicts for random rows."""
    generator = torch.Generator().manual_seed(2)
    side = prior.sample_size
    x = torch.randn(rows, 4, side, side, generator=generator)
    t = torch.randint(0, 1000, (rows,), generator=generator)
    width = prior.unet.config["cross_attention_dim"]
    text = torch.randn(rows, 5, width, generator=generator)
    with torch.no_grad():
        return prior.predict(x, t, text, torch.randn(rows, 4, 4, generator=generator))


def storages(*priors):
    """Where the numbers of these UNets lie: place → bytes."""
    values = [value.untyped_storage() for p in priors for value in p.unet.parameters()]
    return {value.data_ptr(): value.nbytes() for value in values}


# What it is


def test_adapters_of_sdxls_kind_are_read_again(tmp_path):
    """The camera's perceptron is as wide as the sizes' there, and is followed by zeros."""
    folder = write_sdxl(tmp_path / "base", CAPTIONS * 3)
    prior = fresh_adapter(load_base(folder), RANK, torch.Generator().manual_seed(0))
    whole = fresh_agp(load_base(folder), torch.Generator().manual_seed(0))
    text = prior.encode_text(CAPTIONS)
    given = torch.ones(2, 4, 8, 8), torch.tensor([10, 900]), text, torch.eye(4).expand(2, 4, 4)
    assert torch.equal(prior.predict(*given), whole.predict(*given))
    draw(prior)
    facts = {"lora": RANK, FINGERPRINT: fingerprint(folder), "camera": {}}
    save_agp(prior, tmp_path / "agp", base="../base", facts=facts)
    assert torch.equal(load_agp(tmp_path / "agp").predict(*given), prior.predict(*given))
    card = (tmp_path / "agp" / "README.md").read_text()
    wide = prior.unet.config["projection_class_embeddings_input_dim"]
    assert f"_input_dim={wide}," in card and "class_labels=camera, **added" in card


def test_adapters_of_a_single_file_know_it_again(tmp_path):
    write_version(tmp_path / "base", CAPTIONS * 3)
    file = write_checkpoint(tmp_path / "base", tmp_path / "model.safetensors")
    prior = fresh_adapter(load_base(file, with_text=False), RANK, torch.Generator().manual_seed(0))
    draw(prior)
    facts = {"lora": RANK, FINGERPRINT: fingerprint(file), "camera": {}}
    save_agp(prior, tmp_path / "agp", base="../model.safetensors", facts=facts)
    assert torch.equal(asked(load_agp(tmp_path / "agp", with_text=False)), asked(prior))
    whole = tmp_path / "whole"
    assert run(["merge-agp", str(tmp_path / "agp"), "--out", str(whole)]) == 0
    record = read_json(whole / "stage.json")
    assert Path(record["inputs"]["base"]["path"]).resolve() == file.resolve()
    assert record["inputs"]["base"]["digest"] == digest(file)
    weights = load_file(file)
    weights["model.diffusion_model.input_blocks.0.0.bias"] += 1
    save_file(weights, file)
    with pytest.raises(InputError, match="adapters of another base than the one in"):
        load_agp(tmp_path / "agp", with_text=False)


@pytest.mark.parametrize("guided", [False, True])
def test_fresh_adapters_give_the_bits_of_a_fresh_agp_and_share_the_bases_tensors(guided):
    tiny = fresh_base(CAPTIONS, size=8, width=8)
    if guided:
        from sdtool.priors.guided import fresh_guided

        tiny = fresh_guided(tiny)
    made = fresh_adapter(tiny, RANK, torch.Generator().manual_seed(0))
    whole = fresh_agp(tiny, torch.Generator().manual_seed(0))
    x, t, text = torch.ones(2, 4, 8, 8), torch.tensor([10, 900]), torch.ones(2, 5, 128)
    cameras = torch.eye(4).expand(2, 4, 4)
    assert torch.equal(made.predict(x, t, text, cameras), whole.predict(x, t, text, cameras))
    assert made.has_camera and made.channels == 4 and not made.is_guided
    shared = storages(tiny).keys() & storages(made).keys()
    assert shared == storages(tiny).keys()
    trained = [p for part in adapter_parts(made.unet).values() for p in part.parameters()]
    assert storages(made).keys() - shared == {p.untyped_storage().data_ptr() for p in trained}


def test_adapters_stand_where_text_and_camera_pass_and_in_all_convolutions(base):
    prior = load_base(base)
    adapted = dict(adapted_layers(fresh_adapter(prior, RANK, torch.Generator()).unet))
    plain = {
        name
        for name, layer in prior.unet.named_modules()
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d)
    }
    assert plain - set(adapted) == {"time_embedding.linear_1", "time_embedding.linear_2"}
    assert adapted.keys() <= plain and {layer.r["default"] for layer in adapted.values()} == {RANK}


def test_the_base_can_be_held_in_half_precision_and_what_trains_is_not(base):
    prior = fresh_adapter(load_base(base), RANK, torch.Generator())
    hold_base_in(prior, torch.bfloat16)
    trained = {id(p) for part in adapter_parts(prior.unet).values() for p in part.parameters()}
    kept = {p.dtype: id(p) in trained for p in prior.unet.parameters()}
    assert kept == {torch.float32: True, torch.bfloat16: False}
    with torch.autocast("cpu", torch.bfloat16):
        assert asked(prior).isfinite().all()


# The folder


def test_the_folder_comes_back_and_is_read_by_peft_and_by_diffusers(base, agp):
    ours = load_agp(agp)
    assert adapter_rank(ours.unet) == RANK and ours.text is not None
    fresh = fresh_adapter(load_base(base), RANK, torch.Generator())
    draw(fresh)
    wanted = asked(ours)
    assert torch.equal(wanted, asked(fresh)) and not torch.equal(wanted, asked(load_base(base)))
    with pytest.raises(ValueError, match="needs c2w"):
        ours.predict(torch.ones(1, 4, 8, 8), torch.tensor([1]), torch.ones(1, 5, 32))

    hook = {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 12}
    plain = UNet2DConditionModel.from_pretrained(
        base, subfolder="unet", low_cpu_mem_usage=False, **hook
    )
    ours.unet = library().PeftModel.from_pretrained(plain, agp)  # as the model card says
    assert torch.allclose(asked(ours), wanted, atol=1e-5)

    plain = UNet2DConditionModel.from_pretrained(
        base, subfolder="unet", low_cpu_mem_usage=False, **hook
    )
    plain.load_lora_adapter(agp, weight_name=ADAPTER_WEIGHTS, prefix="base_model.model")
    camera = {
        key.removeprefix("base_model.model.class_embedding."): value
        for key, value in load_file(agp / ADAPTER_WEIGHTS).items()
        if ".class_embedding." in key
    }
    plain.class_embedding.load_state_dict(camera)
    ours.unet = plain
    assert torch.allclose(asked(ours), wanted, atol=1e-5)


def test_a_base_is_known_again_in_half_precision_in_parts_and_elsewhere(base, tmp_path):
    known, unet = fingerprint(base), load_base(base).unet
    unet.save_pretrained(tmp_path / "parts" / "unet", max_shard_size="20KB")
    assert len(list((tmp_path / "parts" / "unet").glob("*.safetensors"))) > 2
    unet.half().save_pretrained(tmp_path / "half" / "unet", variant="fp16")
    assert fingerprint(tmp_path / "parts") == fingerprint(tmp_path / "half") == known
    unet.conv_in.weight.data[0, 0, 0, 0] += 0.1
    unet.save_pretrained(tmp_path / "other" / "unet")
    assert fingerprint(tmp_path / "other") != known


def test_another_base_and_none_are_refused_in_one_sentence(copied):
    other = UNet2DConditionModel.from_pretrained(copied.parent / "base" / "unet")
    other.conv_in.bias.data += 1
    other.save_pretrained(copied.parent / "base" / "unet")
    with pytest.raises(InputError, match="adapters of another base than the one in .*base.*name"):
        load_agp(copied)
    shutil.rmtree(copied.parent / "base")
    with pytest.raises(InputError, match="adapters of the base .*base, which is not to be had"):
        load_agp(copied)
    write_json(copied / "agp.json", read_json(copied / "agp.json") | {"base": "tiny"})
    with pytest.raises(InputError, match="another base than the one in .*tiny"):
        load_agp(copied)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda w, c: w.popitem(), "is not whole: it lacks 1 of"),
        (lambda w, c: next(iter(w.values())).fill_(torch.nan), "is damaged.*NaN"),
        (lambda w, c: w.update({k: v[:1] for k, v in w.items()}), "is of another base"),
        (lambda w, c: w.clear(), "it lacks"),
        (lambda w, c: c.update(use_dora=True), "does not know .use_dora: True"),
        (lambda w, c: c.update(rank_pattern={"to_q": 9}), "does not know .rank_pattern"),
        (lambda w, c: c.update(peft_type="LOHA"), "not the configuration of a low-rank adapter"),
        (lambda w, c: c.update(target_modules="all-linear"), "not the configuration"),
        (lambda w, c: c.update(r="3"), "not the configuration"),
    ],
)
def test_a_spoiled_adapter_is_named(copied, spoil, said):
    weights, config = load_file(copied / ADAPTER_WEIGHTS), read_json(copied / ADAPTER)
    spoil(weights, config)
    save_file(weights, copied / ADAPTER_WEIGHTS)
    write_json(copied / ADAPTER, config)
    with pytest.raises(InputError, match=said):
        load_agp(copied)


def test_an_adapter_without_its_weights_or_with_garbage_is_named(copied):
    (copied / ADAPTER_WEIGHTS).write_bytes(b"garbage")
    with pytest.raises(InputError, match="adapter_model.safetensors is damaged"):
        load_agp(copied)
    (copied / ADAPTER_WEIGHTS).unlink()
    with pytest.raises(InputError, match="lacks adapter_model.safetensors"):
        load_agp(copied)


# One UNet for two priors


def test_a_pair_holds_each_tensor_once_and_answers_as_two_unets_do(base, agp):
    pair = load_pair(base, agp, "cpu", torch.float32)
    apart = load_base(base), load_agp(agp)
    bytes_of = [sum(storages(prior).values()) for prior in (apart[0], apart[1], *pair)]
    assert bytes_of[:2] == bytes_of[2:]
    trained = sum(
        p.nbytes for part in adapter_parts(pair[1].unet).values() for p in part.parameters()
    )
    assert sum(storages(*pair).values()) == bytes_of[0] + trained
    assert sum(storages(*apart).values()) == bytes_of[0] + bytes_of[1]
    wanted = [asked(prior) for prior in apart]
    for which in (0, 1, 1, 0, 1):  # nothing is left over from the other's call
        assert torch.equal(asked(pair[which]), wanted[which])
    assert not has_adapter(pair[0].unet) and not pair[0].has_camera and pair[0].is_latent
    assert not pair[1].is_latent and not any(p.requires_grad for p in pair[1].parameters())
    with text_encoders(*pair):
        assert pair[0].text is pair[1].text

    pair[0].to(torch.float64)  # as a device would be changed: for both
    assert {p.dtype for name, p in pair[1].unet.named_parameters() if "lora" not in name} == {
        torch.float64,
        torch.float32,
    }
    assert sum(storages(*pair).values()) == 2 * bytes_of[0] + trained


def test_a_copy_of_the_base_is_shared_and_another_base_is_not(base, agp, tmp_path):
    copy = Path(shutil.copytree(base, tmp_path / "copy"))
    pair = load_pair(copy, agp, "cpu", torch.float32)
    assert storages(pair[0]).keys() <= storages(pair[1]).keys()
    unet = UNet2DConditionModel.from_pretrained(copy / "unet")
    unet.conv_in.bias.data += 1
    unet.save_pretrained(copy / "unet")
    other = load_pair(copy, agp, "cpu", torch.float32)
    assert not storages(other[0]).keys() & storages(other[1]).keys()
    assert torch.equal(asked(other[1]), asked(pair[1]))


def test_the_helper_shares_too_and_gives_the_same_bits(base, agp, monkeypatch):
    def popen(command, **_):
        ends = [os.dup(int(number)) for number in command[-2:]]
        threading.Thread(target=split.serve, args=ends, daemon=True).start()
        return SimpleNamespace(kill=lambda: None, wait=lambda *_: 0)

    made = [load_pair(base, agp, "cpu", torch.float32)]
    monkeypatch.setattr(split.subprocess, "Popen", popen)
    monkeypatch.setattr(pairs, "load_pair", lambda *a: made.append(load_pair(*a)) or made[-1])
    helper = split.Helper()
    helper.load(str(base), str(agp), "", torch.float32, 1)
    assert helper.wait_until_ready(60)
    ours, theirs = made
    assert storages(theirs[0]).keys() <= storages(theirs[1]).keys()
    wanted = [asked(prior, 4) for prior in ours]
    with split.split(ours, None, 1):
        alone = [asked(prior, 4) for prior in ours]
    with split.split(ours, helper, 1) as halves:
        for which in (1, 0, 0, 1):
            answer = asked(ours[which], 4)
            assert torch.equal(answer, alone[which])
            assert torch.allclose(answer, wanted[which], atol=1e-5)
    assert halves.asked == 4


def test_adapters_can_be_recorded(base, agp, monkeypatch):
    monkeypatch.setattr(records, "RECORD_AT", 1)
    prior = load_agp(agp)
    wanted = asked(prior, 1)
    with traced(prior):
        assert torch.equal(asked(prior, 1), wanted) and torch.equal(asked(prior, 1), wanted)
        assert prior.unet.found


# Commands


@pytest.fixture(scope="module")
def views(tmp_path_factory):
    return write_views(tmp_path_factory.mktemp("views"), size=8, objects=6, views=2)


def command(views, out, *more):
    options = ["--captions", str(views), "--out", str(out), "--batch", "4", "--exam", "2"]
    options += ["--device", "cpu", "--sample-every", "0", *more]
    return ["finetune-agp", str(views), *options]


def test_a_killed_training_of_adapters_continues_and_goes_on_from_its_result(
    views, base, tmp_path, capsys, monkeypatch
):
    before = {path: path.read_bytes() for path in sorted(base.rglob("*.safetensors"))}
    whole, parts, more = (tmp_path / name for name in ("whole", "parts", "more"))
    lora = ["--base", str(base), "--lora", "2", "--lr", "0.01", "--warmup", "1"]
    lora += ["--steps", "4", "--checkpoint-every", "2"]
    assert run(command(views, whole, *lora)) == 0, capsys.readouterr().err

    with monkeypatch.context() as patch:

        def killed(*arguments):
            checkpoints.save_checkpoint(*arguments)
            raise KeyboardInterrupt

        patch.setattr(loop, "save_checkpoint", killed)
        assert run(command(views, parts, *lora)) == 130
    held = load_file(parts / "checkpoint-000002.safetensors")
    trained = len(load_file(whole / ADAPTER_WEIGHTS))
    assert len([name for name in held if name.startswith("value/")]) == trained
    assert len([name for name in held if name.startswith("average/")]) == trained
    capsys.readouterr()
    assert run(command(views, parts, *lora)) == 0
    assert "continuing after step 2" in capsys.readouterr().err
    assert (parts / ADAPTER_WEIGHTS).read_bytes() == (whole / ADAPTER_WEIGHTS).read_bytes()
    assert before == {path: path.read_bytes() for path in before}  # the base is as it was

    card = read_json(whole / "agp.json")
    assert card["lora"] == 2 and card[FINGERPRINT] == fingerprint(base)
    assert not (whole / "unet").exists() and "PeftModel" in (whole / "README.md").read_text()
    outputs = read_json(whole / "stage.json")["outputs"]
    assert {ADAPTER_WEIGHTS, ADAPTER} < set(outputs)
    started = fresh_adapter(load_base(base), 2, torch.Generator().manual_seed(0))
    assert not torch.equal(asked(load_agp(whole)), asked(started))  # it has learnt something

    go_on = ["--resume-from", str(whole), "--steps", "1", "--lr", "1e-9"]
    assert run(command(views, more, *go_on, "--lora", "2")) == 0, capsys.readouterr().err
    one, two = load_file(whole / ADAPTER_WEIGHTS), load_file(more / ADAPTER_WEIGHTS)
    assert all(torch.allclose(one[name], two[name], atol=1e-6) for name in one)
    assert run(command(views, tmp_path / "no", *go_on, "--lora", "5")) == 2
    assert "has adapters of rank 2: use --lora 2" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_a_merged_agp_is_whole_and_predicts_the_same(agp, tmp_path, capsys, monkeypatch):
    out = tmp_path / "whole"
    assert run(["merge-agp", str(agp), "--out", str(out)]) == 0, capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "peft", None)
        merged = load_agp(out)
        with pytest.raises(Exception, match="pip install 'sdtool.lora.'"):
            load_agp(agp)
    assert not has_adapter(merged.unet)
    assert torch.allclose(asked(merged), asked(load_agp(agp)), atol=1e-4)
    plain = UNet2DConditionModel.from_pretrained(out, subfolder="unet")
    x, t, text = torch.ones(1, 4, 8, 8), torch.tensor([500]), torch.ones(1, 5, 32)
    camera = torch.eye(4)[None]
    with torch.no_grad():
        raw = plain(x, t, encoder_hidden_states=text, class_labels=camera_vector(camera)).sample
        assert torch.allclose(raw, merged.predict(x, t, text, camera), atol=1e-5)
    card = read_json(out / "agp.json")
    assert card["lora"] == RANK and FINGERPRINT not in card
    assert run(["merge-agp", str(agp), "--out", str(out)]) == 0
    assert "already merged" in capsys.readouterr().err
    assert run(["merge-agp", str(out), "--out", str(tmp_path / "again")]) == 1
    assert "is a whole AGP already" in capsys.readouterr().err
    go_on = ["--resume-from", str(out), "--lora", "5"]
    assert run(command(tmp_path, tmp_path / "no", *go_on)) == 2
    assert "has no adapters: leave out --lora 5" in capsys.readouterr().err
    views = ["views", "--captions", str(agp / "agp.json")]
    assert run(["distill-guidance", str(agp), *views]) == 1
    assert "sdtool merge-agp" in capsys.readouterr().err


def test_a_rank_beyond_all_layers_is_refused(base, tmp_path):
    said = r"^--lora 100000 is more than any layer of .* take \d+ or less"
    with pytest.raises(UsageError, match=said) as no:
        fresh_adapter(load_base(base), 100_000, torch.Generator())
    assert no.value.options == ("--lora",)
    most = int(str(no.value).partition("take ")[2].partition(" ")[0])
    adapter = fresh_adapter(load_base(base), most, torch.Generator())
    assert adapter_rank(adapter.unet) == most
    layers = [layer for _, layer in adapted_layers(adapter.unet)]
    assert max(min(layer.weight.flatten(1).shape) for layer in layers) == most


def test_merge_agp_names_half_an_adapter_and_writes_nothing_into_what_it_reads(
    agp, tmp_path, capsys
):
    assert run(["merge-agp", str(agp), "--out", str(agp / "in")]) == 2
    assert f"--out {agp / 'in'} lies in {agp}, which is read" in capsys.readouterr().err
    assert not (agp / "in").exists()
    half = shutil.copytree(agp, tmp_path / "half")
    (half / ADAPTER).unlink()
    assert run(["merge-agp", str(half), "--out", str(tmp_path / "whole")]) == 1
    said = f"{half} has adapter_model.safetensors and no adapter_config.json; copy or download the whole"
    assert said in capsys.readouterr().err


def test_without_peft_the_cure_is_named_before_anything_is_done(
    views, tmp_path, capsys, monkeypatch
):
    monkeypatch.setitem(sys.modules, "peft", None)
    assert run(command(views, tmp_path / "agp", "--lora", "4")) == 1
    assert "pip install 'sdtool[lora]'" in capsys.readouterr().err
    assert not (tmp_path / "agp").exists()


# Keeping peft out of sight


def test_diffusers_is_asked_about_layers_without_peft(base, monkeypatch):
    from diffusers.utils import is_peft_available

    layer = next(
        layer
        for _, layer in adapted_layers(fresh_adapter(load_base(base), 1, torch.Generator()).unet)
    )
    assert isinstance(layer, _AnyLayer) and not isinstance(torch.nn.Linear(1, 1), _AnyLayer)
    monkeypatch.delitem(sys.modules, "peft.tuners.tuners_utils")
    assert not isinstance(layer, _AnyLayer)
    monkeypatch.delitem(sys.modules, "peft")
    with _peft_out_of_sight():
        assert not is_peft_available()
    assert is_peft_available()


def test_the_configuration_is_the_same_file_every_time(agp):
    config = read_json(agp / ADAPTER)
    assert config["target_modules"] == sorted(config["target_modules"])
    assert config["modules_to_save"] == ["class_embedding"]
    assert json.dumps(config) and config["r"] == config["lora_alpha"] == RANK
