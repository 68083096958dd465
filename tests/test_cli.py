"""The command line: what goes to stdout, what to stderr, and what each exit code means."""

import errno
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
from collection_samples import annotation, write_collection

from sdtool import __version__
from sdtool.cli import STAGES, run
from sdtool.errors import SdtoolError


@pytest.fixture
def collection(tmp_path):
    return write_collection(tmp_path / "objs", [annotation("a", "Red Chair"), annotation("b")])


def command(capsys, *arguments):
    """(exit code, stdout, stderr) of one command line."""
    code = run([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_lists_every_stage_with_its_line(capsys):
    code, stdout, _ = command(capsys, "--help")
    assert code == 0
    text = " ".join(stdout.replace("│", " ").split())
    for name, (_, line) in STAGES.items():
        assert f"{name} {line}" in text
    assert command(capsys, "-h")[1] == stdout


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_explains_itself_with_an_example(stage, capsys):
    code, stdout, _ = command(capsys, stage, "--help")
    assert code == 0
    for word in ("Example", f"sdtool {stage}", "--json", "--debug"):
        assert word in stdout


def test_version(capsys):
    assert command(capsys, "--version")[:2] == (0, f"sdtool {__version__}\n")


def test_done_prints_the_path_and_nothing_else(collection, tmp_path, capsys):
    out = tmp_path / "captions"
    code, stdout, stderr = command(capsys, "caption", collection, "--out", out)
    assert (code, stdout) == (0, f"{out}\n")
    assert "captions" in stderr


def test_json_is_one_object_on_stdout_wherever_the_flag_stands(collection, tmp_path, capsys):
    out = tmp_path / "captions"
    for arguments in (["--json", collection, "--out", out], [collection, "--out", out, "--json"]):
        code, stdout, _ = command(capsys, "caption", *arguments)
        value = json.loads(stdout)
        assert code == 0 and stdout.count("\n") == 1
        assert value["path"] == str(out) and value["failed"] == 0
        assert value["counts"]["ok"] == 2


def test_failure_is_one_sentence_on_stderr(tmp_path, capsys):
    arguments = ["caption", tmp_path / "absent", "--out", tmp_path / "out"]
    code, stdout, stderr = command(capsys, *arguments)
    assert (code, stdout) == (1, "")
    assert stderr.startswith("sdtool: ") and stderr.count("\n") == 1 and "absent" in stderr
    code, stdout, again = command(capsys, *arguments, "--json")
    assert code == 1 and again == stderr
    assert json.loads(stdout) == {"error": stderr[len("sdtool: ") : -1], "exit_code": 1}


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        (["caption"], "objects"),
        (["caption", "x", "--out"], "--out"),
        (["caption", "x", "--out", "y", "--nonsense"], "--nonsense"),
        (["caption", "x", "--out", "y", "--method", "guess"], "offline"),
        (["fly"], "fly"),
        (["filter-objaverse"], "SOURCE"),
        (["sample-prior", " "], "a prompt is empty; try"),
        (["sample-prior", "a corgi", "--scale", "-3"], "--scale"),
    ],
)
def test_wrong_usage_is_named(arguments, complaint, capsys):
    code, stdout, stderr = command(capsys, *arguments)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("sdtool: ") and complaint.lower() in stderr.lower()


def test_without_a_stage_the_help_is_shown(capsys):
    code, stdout, stderr = command(capsys)
    assert code == 2 and "filter-objaverse" in stdout + stderr


def test_some_objects_failed_is_3_also_when_nothing_is_left_to_do(tmp_path, capsys):
    bad = annotation("b", "untitled", tags=[])
    root = write_collection(tmp_path / "objs", [annotation("a"), bad])
    out = tmp_path / "captions"
    for _ in range(2):
        code, stdout, _ = command(capsys, "caption", root, "--out", out)
        assert (code, stdout) == (3, f"{out}\n")
    assert (out / "failures.jsonl").read_text().count("\n") == 1


def test_a_directory_of_another_stage_is_not_overwritten(collection, tmp_path, capsys):
    out = tmp_path / "out"
    assert command(capsys, "filter-objaverse", collection, "--out", out)[0] == 0
    code, _, stderr = command(capsys, "caption", collection, "--out", out)
    assert code == 2 and "filter-objaverse" in stderr
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    for extra in ([], ["--overwrite"]):
        assert command(capsys, "caption", collection, "--out", precious, *extra)[0] == 2
    assert (precious / "thesis.txt").read_text() == "years"


def test_debug_lets_the_error_through(tmp_path, capsys):
    with pytest.raises(SdtoolError):
        run(["caption", str(tmp_path / "absent"), "--out", str(tmp_path / "o"), "--debug"])


def test_an_unforeseen_error_is_no_traceback(collection, tmp_path, capsys, monkeypatch):
    def broken(record, seed):
        raise ZeroDivisionError("of all things")

    monkeypatch.setattr("sdtool.captioning.method_offline.caption_from_words", broken)
    code, stdout, stderr = command(capsys, "caption", collection, "--out", tmp_path / "o")
    assert (code, stdout) == (1, "")
    assert "of all things" in stderr and "--debug" in stderr and "Traceback" not in stderr


def test_what_the_system_refuses_is_a_sentence(collection, tmp_path, capsys, monkeypatch):
    name = "x" * 300
    code, stdout, stderr = command(capsys, "caption", collection, "--out", tmp_path / name)
    assert (code, stdout) == (1, "")
    assert stderr == f"sdtool: {tmp_path / name}: File name too long\n"
    (tmp_path / "file").write_text("x")
    code, _, stderr = command(capsys, "caption", collection, "--out", tmp_path / "file" / "out")
    assert code == 1 and stderr == f"sdtool: {tmp_path / 'file' / 'out'}: Not a directory\n"

    def full(record, seed):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # as a write to a full disk does

    monkeypatch.setattr("sdtool.captioning.method_offline.caption_from_words", full)
    code, _, stderr = command(capsys, "caption", collection, "--out", tmp_path / "o")
    assert code == 1 and stderr == "sdtool: No space left on device\n"
    with pytest.raises(OSError, match="No space left"):
        run(["caption", str(collection), "--out", str(tmp_path / "o"), "--debug"])


def test_the_installed_program_returns_the_code(tmp_path):
    program = [sys.executable, "-m", "sdtool.cli"]
    for arguments, code in ((["--version"], 0), (["fly"], 2), (["caption", "x", "--out", "y"], 1)):
        finished = subprocess.run([*program, *arguments], capture_output=True, cwd=tmp_path)
        assert finished.returncode == code, finished.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", ["99999999999999999999", "9223372036854775808"])
def test_a_seed_of_twenty_digits_is_wrong_usage(number, tmp_path, capsys):
    out, config = tmp_path / "out", tmp_path / "my.toml"
    config.write_text(f"seed = {number}\n")
    for given in (["--seed", number], ["--config", str(config)]):
        assert run(["toyverse", "--count", "1", "--out", str(out), *given]) == 2
        said = capsys.readouterr().err
        assert "seed" in said and "9223372036854775807" in said and "unexpected" not in said
    assert not out.exists()


@pytest.mark.parametrize(
    "options, said",
    [
        (["toyverse", "--count", "9" * 20], "--count 99999999999999999999 is too large"),
        (["render-ccm", "objs", "--elevation", "nan", "3"], "--elevation nan is no number"),
    ],
)
def test_numbers_that_nothing_computes_with_are_wrong_usage(options, said, tmp_path, capsys):
    assert run([*options, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_largest_seed_is_taken(tmp_path):
    options = ["--count", "1", "--seed", str(2**63 - 1), "--bad-share", "0"]
    assert run(["toyverse", "--out", str(tmp_path / "out"), *options]) == 0


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("taker", "code", "said"),
    [
        (">&-", 0, ""),
        (">/dev/full", 1, "sdtool: stdout: No space left on device\n"),
        ("", 1, ""),  # a pipe that nobody reads
    ],
)
def test_a_result_that_nobody_takes_is_no_traceback(taker, code, said, unbuffered):
    program = shlex.join([sys.executable, "-m", "sdtool.cli", "finetune-agp", "--print-config"])
    reader, writer = os.pipe()
    os.close(reader)
    finished = subprocess.run(
        ["sh", "-c", f"exec {program} {taker}"],
        stdout=writer,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    )
    os.close(writer)
    assert re.fullmatch(said, finished.stderr.decode())
    assert finished.returncode == code


@pytest.mark.parametrize(
    "given", [["lift", "a", "corgi"], ["texture", "x.glb", "a", "red", "chair"]]
)
def test_a_prompt_without_quotes_is_told_how(capsys, given):
    code, stdout, said = command(capsys, *given)
    assert (code, stdout) == (2, "") and said.count("\n") == 1
    assert said.endswith('; put a prompt of several words in quotes: "a corgi"\n')
    assert "quotes" not in command(capsys, "export", "a", "b")[2]


@pytest.mark.slow
def test_libraries_say_nothing_of_their_own(tmp_path):
    arguments = ["sample-prior", "a corgi", "--steps", "1", "--device", "cpu", "--out", "look"]
    finished = subprocess.run(
        [sys.executable, "-m", "sdtool.cli", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "look\n", "")
