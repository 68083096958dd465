"""--config and --print-config: what is printed is read back, who wins, and what a wrong file says."""

import pickle
import tomllib
from enum import Enum

import pytest

from sdtool import cli
from sdtool.errors import UsageError
from sdtool.io import toml


def printed(capsys, *arguments):
    """What `--print-config` prints for a command line."""
    assert cli.run([*map(str, arguments), "--print-config"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def written(tmp_path, text):
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


# Round trips


@pytest.mark.parametrize("stage", cli.STAGES)
def test_what_is_printed_reads_back_as_the_same(stage, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = printed(capsys, stage)
    assert list(tmp_path.iterdir()) == []  # printing has no side effect
    path = written(tmp_path, text)
    assert printed(capsys, stage, "--config", path) == text


@pytest.mark.parametrize("stage", cli.STAGES)
def test_every_key_can_be_changed_and_is_printed_as_changed(stage, tmp_path, capsys):
    changed = {}
    for line in printed(capsys, stage).splitlines():
        key, equals, value = line.removeprefix("# ").partition(" = ")
        if line.startswith("["):
            break
        if not equals or " " in key:
            continue
        old = tomllib.loads(f"x = {value}")["x"]
        if isinstance(old, bool):
            new = not old
        elif isinstance(old, int | float):
            new = old + 1 if isinstance(old, int) else old / 2 or 0.5
        elif isinstance(old, list):
            new = old[::-1] or ["one", "two"]
        else:
            new = old or 'a "text" \\ of\nwörds'
        changed[key] = new
    for key in ("appearance", "init", "environment", "protocol", "tracker"):  # not any text does
        changed.pop(key, None)
    text = "".join(f"{key} = {toml.value(value)}\n" for key, value in changed.items())
    found = tomllib.loads(printed(capsys, stage, "--config", written(tmp_path, text)))
    assert changed and {key: found[key] for key in changed} == changed


def test_the_comments_are_the_help_texts_and_what_is_unset_is_one_of_them(capsys):
    lines = printed(capsys, "render-ccm").splitlines()
    here = lines.index("views = 16")
    assert lines[here - 1] == "# Random views of each object."
    assert lines[lines.index('# yaw-fix = ""') - 1].startswith("# Table of uid,degrees")
    assert "elevation = [-10.0, 45.0]" in lines and 'backend = "numba"' in lines
    assert '# source = ""' in lines and "overwrite = false" in lines


# Who wins


def test_the_command_line_wins_over_the_file_and_the_file_over_defaults(tmp_path, capsys):
    path = written(tmp_path, 'prompt = "a dog"\nseed = 3\nlambda_align = 0.5\n')
    found = tomllib.loads(printed(capsys, "lift", "a cat", "--config", path, "--seed", 4))
    assert (found["prompt"], found["seed"], found["lambda-align"]) == ("a cat", 4, 0.5)
    found = tomllib.loads(printed(capsys, "lift", "--seed", 4, "--config", path))
    assert (found["prompt"], found["seed"], found["scale"]) == ("a dog", 4, 1.0)


def test_a_list_on_the_command_line_replaces_the_file_s(tmp_path, capsys):
    path = written(tmp_path, 'only = ["blue horse", "red cat"]\n')
    assert tomllib.loads(printed(capsys, "toyverse", "--config", path))["only"][1] == "red cat"
    arguments = ["toyverse", "--config", path, "--only", "corgi"]
    assert tomllib.loads(printed(capsys, *arguments))["only"] == ["corgi"]


def test_a_variable_of_slurm_wins_over_the_file(tmp_path, capsys, monkeypatch):
    path = written(tmp_path, "rank = 1\nworld-size = 3\n")
    monkeypatch.setenv("SLURM_PROCID", "2")
    found = tomllib.loads(printed(capsys, "caption", "--config", path))
    assert (found["rank"], found["world-size"]) == (2, 3)


def test_one_file_serves_many_stages(tmp_path, capsys):
    path = written(
        tmp_path,
        'seed = 1\n[lift]\nprompt = "a dog"\nseed = 2\n[render-ccm]\nviews = 4\n[lift.set]\nsamples = 9',
    )
    found = tomllib.loads(printed(capsys, "lift", "--config", path))
    assert (found["prompt"], found["seed"], found["set"]["samples"]) == ("a dog", 2, 9)
    found = tomllib.loads(printed(capsys, "render-ccm", "--config", path))
    assert (found["seed"], found["views"]) == (1, 4) and "set" not in found


def test_a_stage_does_what_the_file_says_from_the_working_directory(tmp_path, capsys, monkeypatch):
    path = written(tmp_path, 'out = "here"\ncount = 2\nbad-share = 0\ncategories = "cat"\n')
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert cli.run(["toyverse", "--config", str(path)]) == 0
    assert capsys.readouterr().out == "here\n"
    assert len(list((tmp_path / "elsewhere" / "here").rglob("*.glb"))) == 2
    flags = ["--out", "here", "--count", "2", "--bad-share", "0", "--categories", "cat"]
    assert cli.run(["toyverse", *flags]) == 0  # the same options are the same work
    assert "holds this collection already" in capsys.readouterr().err


# The settings of a lift


def test_a_table_of_settings_is_the_same_as_set(tmp_path, capsys):
    path = written(
        tmp_path, '[set]\nsamples = 9\n[set.coarse]\nsteps = 7\nsees = "rgb"\nt_high = [0.9, 0.5]'
    )
    flags = ["samples=9", "coarse.steps=7", "coarse.sees=rgb", "coarse.t_high=[0.9, 0.5]"]
    pairs = [part for flag in flags for part in ("--set", flag)]
    assert printed(capsys, "lift", "--config", path) == printed(capsys, "lift", *pairs)
    listed = written(tmp_path, f"set = {toml.value(flags)}\n")
    assert printed(capsys, "lift", "--config", listed) == printed(capsys, "lift", *pairs)


def test_set_on_the_command_line_changes_one_setting_of_the_file(tmp_path, capsys):
    path = written(tmp_path, "[set.coarse]\nsteps = 7\nviews = 2\n")
    found = tomllib.loads(printed(capsys, "lift", "--config", path, "--set", "coarse.steps=8"))
    assert (found["set"]["coarse"]["steps"], found["set"]["coarse"]["views"]) == (8, 2)


@pytest.mark.parametrize("rep", ["dmtet", "nerf"])
@pytest.mark.parametrize("preset", ["tiny-cpu", "preview", "paper"])
def test_every_preset_is_printed_whole_and_its_settings_win_over_another(
    rep, preset, tmp_path, capsys
):
    text = printed(capsys, "lift", "a cat", "--rep", rep, "--preset", preset)
    found = tomllib.loads(text)["set"]
    assert len([one for one in found.values() if isinstance(one, dict)]) >= 2
    assert all(one["steps"] > 0 for one in found.values() if isinstance(one, dict))
    path = written(tmp_path, text)
    again = tomllib.loads(printed(capsys, "lift", "--config", path))
    assert again == tomllib.loads(text)
    if preset == "tiny-cpu":
        other = printed(capsys, "lift", "--config", path, "--preset", "preview")
        assert tomllib.loads(other) == tomllib.loads(text) | {"preset": "preview"}


@pytest.mark.slow
def test_a_lift_by_flags_is_the_same_work_as_by_the_file_that_they_print(tmp_path, capsys):
    out = ["a corgi", "--out", str(tmp_path / "corgi"), "--preset", "preview", "--device", "cpu"]
    small = ["tet_resolution=16", "samples=16", "coarse.steps=25", "geometry.steps=1"]
    small += ["color.steps=1", "coarse.views=1", "geometry.smooth=1", "color.lr=1e-1"]
    flags = [*out, *(part for one in small for part in ("--set", one))]
    path = written(tmp_path, printed(capsys, "lift", *flags))
    assert cli.run(["lift", *flags]) == 0
    capsys.readouterr()
    assert cli.run(["lift", "--config", str(path)]) == 0
    assert "already lifted" in capsys.readouterr().err
    assert cli.run(["lift", "--config", str(path), "--set", "color.steps=2"]) == 2
    said = capsys.readouterr().err
    assert "color.steps: 1 there, 2 now" in said and "my.toml" not in said


# Wrong files


@pytest.mark.parametrize(
    "stage, text, words",
    [
        ("lift", "seeed = 3", ["lift has no option seeed", "nearest is seed"]),
        ("lift", "[lift]\nnegativ = 3", ["no option negativ", "nearest is negative"]),
        ("lift", "[lfit]\nseed = 3", ["[lfit]", "no stage", "[lift]"]),
        ("render-ccm", "[set]\nsamples = 3", ["[set]", "no stage"]),
        ("lift", "lift = 3", ["lift", "table, [lift]"]),
        ("lift", "json = true", ["json", "command line only"]),
        ("lift", "seed = 1.0", ["seed = 1.0", "a whole number"]),
        ("lift", 'seed = "1"', ['seed = "1"', "a whole number"]),
        ("lift", "seed = true", ["seed = true", "a whole number"]),
        ("lift", "seed = -1", ["seed = -1: ", "0"]),
        ("lift", 'scale = "big"', ["scale", "a number"]),
        ("lift", "overwrite = 1", ["overwrite = 1", "true or false"]),
        ("lift", "prompt = 5", ["prompt = 5", "text in quotes"]),
        ("lift", 'rep = "mesh"', ['rep = "mesh"', 'one of "dmtet", "nerf", "gaussians"']),
        ("lift", "seed = 1979-05-27", ["seed = 1979-05-27", "a whole number"]),
        ("lift", "[seed]\nx = 1", ["[seed]", "a whole number"]),
        ("lift", "lambda-ori = 1\nlambda_ori = 1", ["lambda-ori", "twice"]),
        ("lift", "[set.coarse]\nstepps = 1", ["coarse.stepps=1", "stepps is not one of steps"]),
        ("lift", 'set = ["coarse.steps=x"]', ["--set coarse.steps=x", "like 120"]),
        ("lift", "lambda-ori = 0\nlambda-align = 0", ["--lambda-ori 0", "nothing guides"]),
        ("render-ccm", 'backend = "gl"', ['backend = "gl"', '"numba"']),
        ("render-ccm", "elevation = [1]", ["elevation = [1]", "a list: a number, a number"]),
        ("toyverse", 'only = "corgi"', ['only = "corgi"', "a list: text in quotes"]),
        ("caption", "seed = \nx = 1", ["no valid TOML", "line 1"]),
        ("caption", "seed = 1\nseed = 2\n#", ["no valid TOML", "overwrite a value"]),
    ],
)
def test_a_wrong_file_is_one_sentence_with_file_and_key(stage, text, words, tmp_path, capsys):
    path = written(tmp_path, text)
    assert cli.run([stage, "--config", str(path), *(["x"] if stage == "lift" else [])]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    assert captured.err.startswith("sdtool: ") and str(path) in captured.err
    for word in words:
        assert word in captured.err


@pytest.mark.parametrize(
    "text, flags, is_named",
    [
        ('prompt = " "', [], True),  # an argument
        ('prompts = "wishes.txt"', ["a corgi"], True),
        ('prompt = "a corgi"', ["--lambda-ori", "0", "--lambda-align", "0"], False),
        ("lambda-ori = 0", ["a corgi", "--lambda-align", "0"], True),  # half of it
        ('environment = "sky.hdr"\nappearance = "color"', ["a corgi"], True),
        ('appearance = "color"', ["a corgi", "--environment", "sky.hdr"], False),
        ("[set.coarse]\nsteps = 7", ["a corgi", "--set", "coarse.steps=0"], False),
        ("[set.coarse]\nsteps = 0", ["a corgi", "--set", "coarse.views=1"], True),
        ('out = "mine"', ["a corgi"], True),  # a folder that sdtool did not write
        ("seed = 3", ["a corgi", "--out", "mine"], False),
    ],
)
def test_the_file_is_named_where_it_gives_what_is_blamed(
    text, flags, is_named, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, text)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("mine")
    assert cli.run(["lift", *flags, "--device", "cpu", "--config", str(path)]) == 2
    assert (str(path) in capsys.readouterr().err) == is_named


def test_a_usage_error_keeps_its_options_in_a_worker():
    error = pickle.loads(pickle.dumps(UsageError("no", "--lr", "PROMPT")))
    assert str(error) == "no" and error.options == ("--lr", "PROMPT")


def test_a_file_that_cannot_be_read_is_named(tmp_path, capsys):
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff")
    for path, why in ((tmp_path / "absent", "No such"), (tmp_path, "directory"), (binary, "UTF-8")):
        assert cli.run(["caption", "--config", str(path), "--print-config"]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and str(path) in captured.err and why in captured.err


def test_a_required_option_may_be_missing_only_when_printing(tmp_path, capsys):
    path = written(tmp_path, 'objects = "x"\n')
    assert cli.run(["caption", "--config", str(path)]) == 2
    assert "--out" in capsys.readouterr().err
    assert 'objects = "x"' in printed(capsys, "caption", "--config", path)


# TOML as text


@pytest.mark.parametrize(
    "thing",
    ["", "a\tb\nc\x7f\x00\u2028", '"""', "C:\\x", "ünï", -1, 10**15, 1e-7, 1e22, 0.1, True, False]
    + [[], [1, 2.5], ["a", "b"], [[1], ["x"]]],
)
def test_a_value_is_read_back_as_it_was(thing):
    found = tomllib.loads(f"x = {toml.value(thing)}")["x"]
    assert found == thing and type(found) is type(thing)


def test_infinity_enums_tables_and_odd_keys():
    assert tomllib.loads(f"x = {toml.value(float('inf'))}")["x"] == float("inf")
    assert toml.value(Enum("Way", {"up": "UP"}).up) == '"UP"'
    contents = {"b": {"c": {"d e": 1}, "x.y": 2}, "a": 3, "none": {}}
    assert tomllib.loads("\n".join(toml.tables("top", contents))) == {"top": contents}


def test_a_text_that_is_no_utf8_is_refused(capsys):
    with pytest.raises(UsageError, match="UTF-8"):
        toml.value("\udcff")
    assert cli.run(["lift", "\udcff", "--print-config"]) == 2
    assert "UTF-8" in capsys.readouterr().err


def test_a_long_help_text_stays_a_comment():
    lines = toml.comment("word " * 60)
    assert len(lines) == 4 and all(line.startswith("# ") and len(line) <= 100 for line in lines)
    assert toml.comment("two\nlines") == ["# two lines"] and toml.comment("") == []
