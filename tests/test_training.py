"""The loop of a training: its settings, its exact restart, its batches in parts, and what it learns."""

import pytest
import torch

from sdtool.errors import InputError, SdtoolError, UsageError
from sdtool.io.files import read_jsonl
from sdtool.priors.fresh import fresh_base
from sdtool.training.checkpoints import State, clear_checkpoints, last_checkpoint, save_checkpoint
from sdtool.training.data import PromptTable, Views
from sdtool.training.identification import turntable_cameras
from sdtool.training.loop import draw_times, seeded_noise, to_device, train
from sdtool.training.settings import TrainingSettings
from sdtool.training.work_files import SAMPLES, sample_name


def test_the_learning_rate_warms_up_and_falls():
    settings = TrainingSettings(steps=1000, lr=1.0, warmup=100)
    assert [settings.learning_rate(s) for s in (0, 49, 99, 699, 700, 999)] == [
        0.01,
        0.5,
        1.0,
        1.0,
        0.2,
        0.2,
    ]
    for decay, expected in (
        ("cosine", [1.0, 0.75, 0.5]),  # (1 + cos(π/3)) / 2 = 0.75
        ("linear", [1.0, 2 / 3, 0.5]),
        ("constant", [1.0, 1.0, 1.0]),
    ):
        settings = TrainingSettings(steps=900, lr=1.0, warmup=0, decay=decay)
        assert [settings.learning_rate(s) for s in (0, 300, 450)] == pytest.approx(expected), decay


def test_a_batch_that_cannot_be_shared_is_blamed_on_its_options():
    settings = TrainingSettings(steps=1, batch=8, accumulate=2)
    settings.check(4)  # 8 = 4 processes · 2 parts
    with pytest.raises(UsageError, match="multiple of 6") as raised:
        settings.check(3)
    assert raised.value.options == ("--batch", "--accumulate")


def start(views, captions, seed=0):
    """The first arguments of `train`, and its `embed`, always the same for the same seed."""
    data = Views([views], ("rgb", "normal"), captions)
    prompts = PromptTable(data, captions, ("", ", normal map"))
    prior = fresh_base(prompts.table, size=16, width=8, seed=seed)

    def choose(generator, count):
        index = torch.randint(len(data), (count,), generator=generator)
        return index, prompts.draw(data, index.numpy(), 0.1, generator)

    def load(index, numbers):
        return data.maps(index.numpy()), numbers, None, None

    def embed(numbers):
        return prior.encode_text([prompts.table[k] for k in numbers.tolist()])

    return (prior, {"unet": prior.unet, "text": prior.text.model}, choose, load), embed


class Killed(Exception):
    pass


def dying(arguments, after):
    """The arguments of `train`, which fail at the batch number `after`, from 0."""
    prior, trained, choose, load = arguments
    calls = iter(range(1000))

    def wrapped(generator, count):
        if next(calls) == after:
            raise Killed
        return choose(generator, count)

    return prior, trained, wrapped, load


def assert_equal(one, two, **tolerance):
    """The same parameters, to the bit unless a tolerance is given."""
    for (name, a), b in zip(one.named_parameters(), two.parameters(), strict=True):
        assert torch.allclose(a, b, **tolerance) if tolerance else torch.equal(a, b), name


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"accumulate": 2, "optimizer": "adafactor"}])
def test_a_killed_run_continues_bit_for_bit(views, captions, tmp_path, more):
    settings = TrainingSettings(
        steps=12, batch=4, warmup=4, half_resolution=0.4, checkpoint_every=3, sample_every=4, **more
    )
    whole, embed = start(views, captions)
    seen = []
    train(*whole, settings, tmp_path / "a", seed=3, embed=embed, sample=seen.append)
    assert seen == [4, 8, 12]

    # Dies after 5 steps, with the first 3 kept; then after 4 more, with 6 kept. Later starts have
    # other weights, which the checkpoint must replace.
    for after, weights in ((5, 0), (4, 98)):
        parts, embed = start(views, captions, seed=weights)
        with pytest.raises(Killed):
            train(*dying(parts, after), settings, tmp_path / "b", seed=3, embed=embed)
    names = sorted(path.name for path in (tmp_path / "b").glob("checkpoint*"))
    assert names == ["checkpoint-000003.safetensors", "checkpoint-000006.safetensors"]
    parts, embed = start(views, captions, seed=99)
    train(*parts, settings, tmp_path / "b", seed=3, embed=embed)
    assert_equal(whole[0], parts[0])
    logs = [next(iter(read_jsonl(tmp_path / n / "log.jsonl"))) for n in "ab"]
    assert logs[0]["loss"] == logs[1]["loss"] and logs[0]["gradient"] == logs[1]["gradient"]
    assert len(list((tmp_path / "b").glob("checkpoint*"))) == 2
    clear_checkpoints(tmp_path / "b")
    assert not list((tmp_path / "b").glob("checkpoint*"))


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(
    views, captions, tmp_path, capsys
):
    settings = TrainingSettings(steps=9, batch=2, checkpoint_every=2, keep_checkpoints=3)
    whole, embed = start(views, captions)
    train(*whole, settings, tmp_path, seed=0, embed=embed)
    paths = sorted(tmp_path.glob("checkpoint*"))
    assert [path.name[11:17] for path in paths] == ["000004", "000006", "000008"]
    paths[2].write_bytes(paths[2].read_bytes()[:5000])  # cut short
    content = bytearray(paths[1].read_bytes())
    content[-1000] ^= 1  # one bit of a weight
    paths[1].write_bytes(content)
    parts, embed = start(views, captions, seed=5)
    train(*parts, settings, tmp_path, seed=0, embed=embed)
    said = capsys.readouterr().err
    assert "checkpoint-000008.safetensors is damaged" in said
    assert "checkpoint-000006.safetensors is damaged (its digest differs)" in said
    assert "continuing after step 4 of 9" in said
    assert_equal(whole[0], parts[0])
    for path in tmp_path.glob("checkpoint*"):
        path.write_bytes(b"")
    assert last_checkpoint(tmp_path, lambda text: None) is None
    assert not list(tmp_path.glob("checkpoint*"))


def test_checkpoints_are_in_the_order_of_their_steps_beyond_a_million(tmp_path):
    value = torch.nn.Parameter(torch.ones(3))
    optimizer, generator = torch.optim.AdamW([value]), torch.Generator()
    state = State({"a": value}, {"a": torch.ones(3)}, optimizer, generator, torch.zeros(2))
    (tmp_path / "checkpoint-best.safetensors").write_bytes(b"of the user")
    for step in (999_998, 999_999, 1_000_000, 1_000_001):
        save_checkpoint(tmp_path, step, state, keep=2)
    steps = (1_000_000, 1_000_001)
    paths = [tmp_path / f"checkpoint-{step}.safetensors" for step in steps]
    assert set(tmp_path.glob("checkpoint-*[0-9].safetensors")) == set(paths)
    assert last_checkpoint(tmp_path) == paths[1]
    clear_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-best.safetensors"]


def test_sample_grids_are_known_beyond_a_million_steps(tmp_path):
    (tmp_path / "samples").mkdir()
    made = [sample_name(step) for step in (0, 999_999, 1_000_000)]
    for name in (*made, "samples/step-by-step.png"):
        (tmp_path / name).touch()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob(SAMPLES)) == sorted(
        made
    )


@torch.no_grad()
def predictions(prior):
    """What a prior predicts of fixed noisy maps: weights that cancel out do not show."""
    x = seeded_noise(torch.arange(6), (4, 16, 16), torch.device("cpu"))
    text = prior.encode_text(["a red disc", "", "a blue square"] * 2)
    cameras = turntable_cameras(6) if prior.has_camera else None
    return prior.predict(x, torch.arange(6) * 190, text, cameras)


@pytest.mark.slow
def test_a_batch_taken_in_parts_or_recomputed_gives_the_same(views, captions, tmp_path):
    before, results = predictions(start(views, captions)[0][0]), []
    for k, more in enumerate(({}, {"accumulate": 4}, {"gradient_checkpointing": True})):
        arguments, embed = start(views, captions)
        settings = TrainingSettings(steps=5, batch=8, warmup=1, **more)
        loss = train(*arguments, settings, tmp_path / str(k), seed=1, embed=embed)
        results.append((predictions(arguments[0]), loss))
    (whole, loss), *others = results
    assert (whole - before).abs().mean() > 0.05
    for there, loss_there in others:
        assert loss_there == pytest.approx(loss, rel=1e-4)
        assert torch.allclose(there, whole, atol=2e-3)


def test_noise_belongs_to_its_sample(views):
    seeds = torch.tensor([5, 2**61, 7])
    noise = seeded_noise(seeds, (4, 16, 16), torch.device("cpu"))
    assert torch.equal(noise[1:], seeded_noise(seeds[1:], (4, 16, 16), torch.device("cpu")))
    assert noise.mean().item() == pytest.approx(0, abs=0.1)
    assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert not torch.allclose(noise[0], noise[2])


def test_times_are_uniform_or_of_the_middle():
    alphas = fresh_base(["a red disc"], size=16, width=8).alphas_cumprod
    generator = torch.Generator().manual_seed(0)
    plain = draw_times(alphas, 20000, 0.0, generator)
    assert plain.dtype == torch.int64 and plain.min() == 0 and plain.max() == 999
    assert plain.float().mean() == pytest.approx(499.5, abs=8)
    middle = draw_times(alphas, 20000, 1.0, generator)
    level = torch.logit(alphas.double())[middle]
    assert level.mean() == pytest.approx(-1, abs=0.1) and level.std() == pytest.approx(2, abs=0.1)
    half = draw_times(alphas, 20000, 0.5, generator)
    assert (half > 900).float().mean() == pytest.approx(0.05, abs=0.01)


def test_what_lies_on_a_device_is_not_pinned(monkeypatch):
    """ "cuda" and "cuda:0" differ, though texts may lie on the one and be wanted on the other."""
    there, pinned = torch.zeros(2, device="meta"), []
    assert to_device(there, torch.device("meta", 0)).device.type == "meta"
    assert to_device(there, there.device) is there
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda x: pinned.append(x.device.type) or x)
    here = torch.zeros(2)
    assert to_device(here, torch.device("meta")).device.type == "meta" and pinned == ["cpu"]
    assert to_device(here, torch.device("cpu")) is here and pinned == ["cpu"]


def test_the_average_and_not_the_last_weights_are_the_result(views, captions, tmp_path):
    arguments, embed = start(views, captions)
    prior = arguments[0]
    before = {name: value.clone() for name, value in prior.named_parameters()}
    train(*arguments, TrainingSettings(steps=1, batch=4, ema=1.0), tmp_path, seed=0, embed=embed)
    name = "unet.conv_in.weight"
    moved = dict(prior.named_parameters())[name] - before[name]
    # AdamW's first step moves each weight by about lr = 1e-3 / 100; the average follows by 9/10 of
    # that, since its decay warms up as (1 + step) / (10 + step) = 1/10.
    typical = moved.abs().median().item()
    assert typical == pytest.approx(0.9 * 1e-3 / 100, rel=0.02)


@pytest.mark.slow
def test_training_learns_and_grows(views, captions, tmp_path):
    arguments, embed = start(views, captions)
    prior, _, choose, load = arguments
    generator = torch.Generator().manual_seed(7)
    x, numbers, *_ = load(*choose(generator, 32))
    noise, t = torch.randn(x.shape, generator=generator), torch.arange(0, 992, 31)

    def loss():
        with torch.no_grad():
            guess = prior.predict(prior.add_noise(x, noise, t), t, embed(numbers))
        return torch.nn.functional.mse_loss(guess, prior.target(x, noise, t)).item()

    before = loss()
    settings = TrainingSettings(steps=100, batch=8, lr=2e-3, warmup=10, half_resolution=0.5)
    train(*arguments, settings, tmp_path, seed=0, embed=embed)
    after = loss()
    log = list(read_jsonl(tmp_path / "log.jsonl"))
    assert [(line["step"], line["size"]) for line in log] == [(50, 8), (100, 16)]
    assert log[0]["seconds_left"] > 0 == log[1]["seconds_left"]
    assert after < 0.7 * before
    assert not any(parameter.requires_grad for parameter in prior.parameters())


def test_a_log_line_cut_short_does_not_hinder_a_rerun(views, captions, tmp_path):
    arguments, embed = start(views, captions)
    (tmp_path / "log.jsonl").write_text('{"step": 50, "lo')
    train(*arguments, TrainingSettings(steps=1, batch=2), tmp_path, seed=0, embed=embed)
    assert [line["step"] for line in read_jsonl(tmp_path / "log.jsonl")] == [1]


def test_a_broken_training_says_so(views, captions, tmp_path):
    arguments, embed = start(views, captions)
    settings = TrainingSettings(steps=60, batch=4, lr=1e30, warmup=0, checkpoint_every=4)
    with pytest.raises(SdtoolError, match="broke before step 4.*lower --lr"):
        train(*arguments, settings, tmp_path, seed=0, embed=embed)
    assert not list(tmp_path.glob("checkpoint*"))  # nothing broken is kept
    other = fresh_base(["a"], size=16, width=16)
    arguments, embed = start(views, captions)
    settings = TrainingSettings(steps=3, batch=2, checkpoint_every=2)
    train(*arguments, settings, tmp_path / "x", seed=0, embed=embed)
    with pytest.raises(InputError, match="another model"):
        train(other, {"unet": other.unet}, *arguments[2:], settings, tmp_path / "x", seed=0)
