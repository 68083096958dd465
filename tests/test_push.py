"""push, and AGPs from a hub: the real library against a small hub on this machine."""

import json

import pytest
from hub_server import READER, TOKEN, serving
from huggingface_hub import ModelCard, constants

from sdtool.cli import run
from sdtool.priors import hub as priors_hub
from sdtool.priors.bundled import bundled_folder
from sdtool.priors.cards import agp_folder, base_of, camera_of
from sdtool.pushing.page import page

SD = "stable-diffusion-v1-5/stable-diffusion-v1-5"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that this process asks, with a login that may write, and an empty cache."""
    with serving() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        files = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        priors_hub.fetched_agp.cache_clear()
        yield server
        priors_hub.fetched_agp.cache_clear()


@pytest.fixture
def agp(tmp_path):
    """A folder as finetune-agp leaves it, with small weights and a base that a hub has."""
    return write_agp(tmp_path / "agp", base=SD)


def write_agp(folder, base):
    (folder / "unet").mkdir(parents=True)
    (folder / "samples").mkdir()
    (folder / "agp.json").write_text(json.dumps({"base": base, "camera": {"distance": [1, 2]}}))
    (folder / "unet" / "config.json").write_text("{}")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"weights" * 99)
    (folder / "README.md").write_text(
        "---\nlibrary_name: diffusers\ntags:\n- mine\n---\n\n# Mine\n"
    )
    (folder / "wandb" / "run").mkdir(parents=True)
    ours = ("stage.json", "log.jsonl", "checkpoint-000004.safetensors", "samples/a.png")
    for name in (*ours, "wandb/run/wandb-metadata.json"):
        (folder / name).write_bytes(b"of this machine")
    return folder


SENT = ["README.md", "agp.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors"]


def test_an_agp_goes_to_the_hub_and_comes_back(hub, agp, tmp_path, capsys):
    assert run(["push", str(agp), "someone/agp", "--private"]) == 0, capsys.readouterr().err
    assert capsys.readouterr().out == f"{hub.address}/someone/agp\n"
    assert hub.hub.private == {"someone/agp": True}
    first, files = hub.hub.files("someone/agp")
    assert sorted(files) == SENT
    for name in SENT[1:]:
        assert files[name] == (agp / name).read_bytes()
    data = ModelCard(files["README.md"].decode()).data
    assert (data.license, data.base_model) == ("creativeml-openrail-m", SD)
    assert (data.library_name, data.pipeline_tag) == ("diffusers", "text-to-3d")
    assert data.tags[0] == "mine" and "sdtool" in data.tags

    folder = agp_folder("someone/agp")
    assert base_of("someone/agp") == SD and list(camera_of("someone/agp").distance) == [1, 2]
    there = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    assert there == SENT[1:]  # safetensors and json alone
    assert (folder / SENT[3]).read_bytes() == (agp / SENT[3]).read_bytes()

    (agp / "agp.json").write_text(json.dumps({"base": "tiny"}))
    assert run(["push", str(agp), "someone/agp"]) == 2
    assert "someone/agp is there already; put a new version" in capsys.readouterr().err
    assert run(["push", str(agp), "someone/agp", "--update"]) == 0
    priors_hub.fetched_agp.cache_clear()
    assert base_of("someone/agp") == "tiny" and base_of(f"someone/agp@{first}") == SD


def test_a_dry_run_shows_files_sizes_and_the_page_and_asks_nobody(hub, agp, capsys):
    assert run(["push", str(agp), "someone/agp", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "           693  unet/diffusion_pytorch_model.safetensors\n" in said  # 7 × 99 bytes
    assert "license: creativeml-openrail-m" in said and "--agp someone/agp" in said
    assert "bytes in 4 files" in said and "log.jsonl" not in said
    assert hub.hub.asked == []
    assert run(["push", str(agp), "someone/agp", "--dry-run", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert sorted(facts["files"]) == SENT and facts["license"] == "creativeml-openrail-m"


def test_the_licence_is_the_bases(hub, tmp_path, capsys):
    agp = write_agp(tmp_path / "agp", base="them/base")
    hub.hub.data["them/base"] = {"license": "openrail++"}
    assert run(["push", str(agp), "someone/agp", "--dry-run"]) == 0
    assert "license: openrail++" in capsys.readouterr().out
    hub.hub.data["them/base"] = {"tags": ["x"]}
    assert run(["push", str(agp), "someone/agp", "--dry-run"]) == 2
    assert "the base them/base names no licence; name it with --license" in capsys.readouterr().err
    assert run(["push", str(agp), "someone/agp", "--dry-run", "--license", "mit"]) == 0
    assert "license: mit" in capsys.readouterr().out


def test_a_base_of_this_machine_needs_a_name_that_others_know(hub, tmp_path, capsys):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    agp = write_agp(tmp_path / "agp", base="../base")
    assert run(["push", str(agp), "someone/agp"]) == 2
    assert "the base ../base is a place on this machine" in capsys.readouterr().err
    assert run(["push", str(agp), "club/agp", "--base", "them/base"]) == 0, capsys.readouterr().err
    _, files = hub.hub.files("club/agp")
    assert json.loads(files["agp.json"])["base"] == "them/base"
    assert "license: cc-by-4.0" in files["README.md"].decode()


@pytest.mark.parametrize(
    ("token", "repository", "code", "said"),
    [
        (None, "someone/agp", 1, "you are not logged in to http"),
        ("hf_wrong", "someone/agp", 1, "does not know this login"),
        (TOKEN, "other/agp", 2, "may write to someone, club, not to other"),
        (READER, "someone/agp", 1, "needs a token with the right to write"),
        (TOKEN, "agp", 2, "agp is no OWNER/NAME"),
    ],
)
def test_who_may_not_push_is_told_in_one_sentence(
    hub, agp, monkeypatch, capsys, token, repository, code, said
):
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    assert run(["push", str(agp), repository]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and not hub.hub.commits


def test_no_network_no_hub_and_no_agp_are_told(hub, agp, tmp_path, monkeypatch, capsys):
    assert run(["push", str(tmp_path), "someone/agp"]) == 1
    assert "is not an AGP (it holds no agp.json)" in capsys.readouterr().err
    (agp / SENT[3]).unlink()
    assert run(["push", str(agp), "someone/agp"]) == 1
    assert "holds no weights" in capsys.readouterr().err
    (agp / SENT[3]).write_bytes(b"weights")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert run(["push", str(agp), "someone/agp"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "http://127.0.0.1:9 cannot be reached (" in line and "check the network" in line
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert run(["push", str(agp), "someone/agp"]) == 1
    assert "HF_HUB_OFFLINE is set" in capsys.readouterr().err
    monkeypatch.setattr(constants, "ENDPOINT", "foo")
    assert run(["push", str(agp), "someone/agp"]) == 1
    said = "the environment variable HF_ENDPOINT is foo, which is no address of the web"
    assert said in capsys.readouterr().err


def test_an_agp_that_no_hub_has_is_told(hub, capsys):
    command = ["sample-prior", "a dog", "--device", "cpu", "--agp"]
    assert run([*command, "someone/nothing@v2"]) == 1
    said = "the AGP someone/nothing at v2 is not on this machine and could not be downloaded"
    assert said in capsys.readouterr().err
    hub.hub.commits["someone/empty"] = [("0" * 40, {"README.md": b"x"})]
    assert run([*command, "someone/empty"]) == 1
    assert "someone/empty is not an AGP (it holds no agp.json)" in capsys.readouterr().err


def test_the_bundled_card_becomes_a_page_once():
    text = (bundled_folder("agp") / "README.md").read_text(encoding="utf-8")
    once = page(text, "someone/agp", "tiny", "apache-2.0")
    assert page(once, "someone/agp", "tiny", "apache-2.0") == once
    assert once.count("## Licence") == 1 and "base_model" not in once
    assert "license: apache-2.0" in once and "## Measures" in once
