"""Trainings that break in their last step, files that a full disk takes, checkpoints that nobody may open."""

import os
import stat

import pytest
import torch
from shut_folders import run_as_anyone

from sdtool.cli import run
from sdtool.errors import InputError, SdtoolError
from sdtool.io.tensor_files import save_tensors
from sdtool.priors.fresh import fresh_base, save_base
from sdtool.priors.models import save_model
from sdtool.training.checkpoints import last_checkpoint
from sdtool.training.log import check_weights

TINY = ["--batch", "4", "--sample-every", "0", "--device", "cpu"]
BROKEN = ["--steps", "1", "--lr", "1e22"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    save_base(fresh_base(["a red disc", "a blue square"], size=16, width=8), folder, facts={})
    return folder


@pytest.mark.parametrize("stage", ["finetune-agp", "train-base", "train-vae"])
def test_a_training_that_breaks_in_its_last_step_is_not_done(stage, base, views, tmp_path, capsys):
    command = [stage, str(views), "--out", str(tmp_path), *TINY, *BROKEN]
    command += ["--captions", str(views)] if stage != "train-vae" else []
    command += {
        "finetune-agp": ["--base", str(base), "--warmup", "0", "--fp16", "--exam", "2"]
    }.get(stage, [])
    command += {"train-base": ["--width", "8"]}.get(stage, [])
    assert run(command) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("sdtool: training broke in step 1: ") and said.endswith("; lower --lr")
    left = {path.name for path in tmp_path.iterdir()}
    assert "stage.partial.json" in left
    assert not left & {"stage.json", "agp.json", "unet", "diffusion_pytorch_model.safetensors"}


def test_weights_that_are_no_numbers_are_named():
    check_weights({"a": torch.full((2,), 3e38)}, 7)  # whose sum overflows
    with pytest.raises(
        SdtoolError, match=r"^training broke in step 7: the weights b .*lower --lr$"
    ):
        check_weights({"a": torch.ones(2), "b": torch.tensor([1, float("nan")])}, 7)


def test_weights_beyond_float16_are_not_written(tmp_path):
    unet = fresh_base(["a red disc"], size=16, width=8).unet
    with torch.no_grad():
        unet.conv_in.bias[0] = 70_000.0
    with pytest.raises(
        SdtoolError, match=r"unet is not written: its tensor conv_in.bias .* --fp16$"
    ):
        save_model(unet, tmp_path / "unet", fp16=True)
    assert not (tmp_path / "unet").exists()


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_opened_stays(views, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "vae/checkpoint-000002.safetensors"
    command = [
        "train-vae",
        str(views),
        "--out",
        "vae",
        "--steps",
        "3",
        "--checkpoint-every",
        "2",
        *TINY,
    ]

    def stop(self, *_):
        raise InputError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr("sdtool.training.log.Log.write", stop)
        assert run(command) == 1
    whole = path.read_bytes()
    path.chmod(0)
    code, said = run_as_anyone(*command)
    assert code == 1
    assert said.endswith(
        "sdtool: vae/checkpoint-000002.safetensors cannot be read (Permission denied), so that the training "
        "cannot go on from it; have it readable and writable for you, or add --overwrite to begin anew\n"
    )
    path.chmod(0o600)
    assert path.read_bytes() == whole


def test_a_folder_of_a_checkpoints_name_stays(tmp_path):
    (tmp_path / "checkpoint-000002.safetensors").mkdir()
    with pytest.raises(InputError, match="cannot be read"):
        last_checkpoint(tmp_path)
    assert list(tmp_path.iterdir())


def full(tensors, path, metadata=None):
    from safetensors import SafetensorError

    text = "Error while serializing: I/O error: No space left on device (os error 28)"
    raise SafetensorError(text)


def test_weights_that_a_full_disk_refuses_are_named(tmp_path, monkeypatch):
    model = fresh_base(["a red disc"], size=16, width=8)
    monkeypatch.setattr("safetensors.torch.save_file", full)
    monkeypatch.setattr("diffusers.models.modeling_utils.safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_tensors(tmp_path / "a.safetensors", {"a": torch.ones(2)})
    assert caught.value.filename == str(tmp_path / "a.safetensors")
    assert caught.value.strerror == os.strerror(28)
    with pytest.raises(OSError, match="No space left") as caught:
        save_model(model.unet, tmp_path / "unet")
    assert caught.value.filename == str(tmp_path / "unet")


def test_weights_may_be_read_by_whom_other_files_may(tmp_path):
    save_base(fresh_base(["a red disc"], size=16, width=8), tmp_path, facts={})
    save_tensors(tmp_path / "a.safetensors", {"a": torch.ones(2)})
    usual = stat.S_IMODE((tmp_path / "sdtool.json").stat().st_mode)
    weights = list(tmp_path.rglob("*.safetensors"))
    assert len(weights) == 3 and {stat.S_IMODE(path.stat().st_mode) for path in weights} == {usual}
