"""The command line: the table of stages, imported only when called, and the one place where an
error becomes a sentence and an exit code."""

import errno
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from sdtool import __version__
from sdtool.errors import SdtoolError, UsageError
from sdtool.io import lock
from sdtool.io.failures import FAILURES
from sdtool.io.names import escaped
from sdtool.io.stage_record import Report, Result
from sdtool.runtime import collector
from sdtool.runtime.config import Config
from sdtool.runtime.stdout import NAME, name_stdout

# name → (module of `stages`, one line of help). The module holds a function of the same name.
STAGES = {
    "toyverse": ("toyverse", "Make a collection of oriented toy objects, in Objaverse's layout."),
    "filter-objaverse": ("filter_objaverse", "Choose the usable objects of a collection."),
    "caption": ("caption", "Write a caption for every object."),
    "orient": ("orient", "Find out which way objects face, and turn them to +Z."),
    "render-ccm": ("render_ccm", "Render canonical coordinate maps of objects from random views."),
    "train-vae": ("train_vae", "Train a small VAE from nothing, for a latent base prior."),
    "train-base": ("train_base", "Train a small text-to-image base prior from nothing."),
    "finetune-agp": ("finetune_agp", "Train the aligned geometric prior on CCMs."),
    "merge-agp": ("merge_agp", "Make one UNet of an AGP of adapters and its base."),
    "distill-guidance": (
        "distill_guidance",
        "Let a prior answer its guided prediction in one pass.",
    ),
    "finetune-color": ("finetune_color", "Train a prior of colours that sees the CCM of a view."),
    "push": ("push", "Share an AGP on a model hub."),
    "sample-prior": ("sample_prior", "Draw what a prior knows of a prompt, before lifting it."),
    "lift": ("lift", "Turn a line of text into a 3D shape."),
    "texture": ("texture", "Paint a mesh that you have from a line of text."),
    "export": ("export", "Write a lift or a mesh as GLB, OBJ or PLY, or for printers and phones."),
    "evaluate": ("evaluate", "Find out how many results are consistent from every side."),
    "view": ("view", "Look at models and lifts in the browser."),
    "doctor": ("doctor", "Find out what works on this machine, and how to get what is missing."),
}

PATHS = (str, bytes, os.PathLike)
CURES = {
    errno.EACCES: "; have what is read readable for you, and the folder of what is written writable",
    errno.ELOOP: "; it is a link that leads back to itself: name the file or folder itself",
}

EPILOG = 'Begin with: sdtool export "$(sdtool lift "a corgi")"'


class StageGroup(TyperGroup):
    """Lists the table without importing any stage; imports the one that is called."""

    def list_commands(self, ctx):
        return list(STAGES)

    def get_command(self, ctx, name):
        if name not in STAGES:
            return None
        return TyperCommand(name, help=STAGES[name][1], short_help=STAGES[name][1])

    def resolve_command(self, ctx, args):
        name, command, rest = super().resolve_command(ctx, args)
        return name, _load(name) if name and command is not None else None, rest


def _load(name: str) -> TyperCommand:
    """The real command of one stage: its options, plus those that every stage has.

    A stage's module may have a function `in_full`: given the options, it returns those that say more
    than was asked for, as `--print-config` should show them.
    """
    module = importlib.import_module(f"sdtool.stages.{STAGES[name][0]}")
    stage = getattr(module, STAGES[name][0])
    signature = inspect.signature(stage)
    settings = Config(name, tuple(STAGES), signature)
    in_full: Callable[[dict[str, Any]], dict[str, Any]]
    in_full = getattr(module, "in_full", lambda options: {})

    def command(
        ctx: typer.Context,
        config: Path | None,
        print_config: bool,
        as_json: bool,
        debug: bool,
        **options: Any,
    ) -> Result | Report | None:
        options = settings.joined(ctx, options)
        try:
            for name, value in options.items():
                _check_number(f"--{name.replace('_', '-')}", value)
            if not print_config:
                return stage(**options)
            print(settings.as_toml(ctx, options | in_full(options)), end="")
            return None
        except UsageError as error:
            raise settings.traced(ctx, error) from error

    shared = {
        "config": (Path | None, None, _config_option(settings)),
        "print_config": (bool, False, _print_config_option(settings)),
        "as_json": (
            bool,
            False,
            typer.Option("--json", help="Print one JSON object, not the path."),
        ),
        "debug": (bool, False, typer.Option("--debug", help="Show the traceback of an error.")),
    }
    keyword = inspect.Parameter.KEYWORD_ONLY
    extra = [inspect.Parameter("ctx", keyword, annotation=typer.Context)]
    extra += [
        inspect.Parameter(key, keyword, default=default, annotation=Annotated[kind, option])
        for key, (kind, default, option) in shared.items()
    ]
    parameters = [*signature.parameters.values(), *extra]
    # It is for `inspect`, by which typer finds the options; mypy knows of none on a function.
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    single = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    single.command(name, help=module.__doc__)(command)
    found = typer.main.get_command(single)
    assert isinstance(found, TyperCommand)  # no group, as it has one command
    return found


def _check_number(option: str, value: Any) -> None:
    """UsageError for numbers that no library computes with: integers of over 64 bits, and NaN."""
    for one in value if isinstance(value, tuple | list) else (value,):
        if isinstance(one, int) and not -(2**63) <= one < 2**63:
            raise UsageError(f"{option} {one} is too large; the largest is {2**63 - 1}", option)
        if isinstance(one, float) and one != one:
            raise UsageError(f"{option} {one} is no number", option)


def _config_option(settings: Config):
    return typer.Option(
        "--config",
        metavar="FILE",
        help="TOML file of options; the command line wins over it. Relative paths in it start where "
        "the command runs.",
        callback=settings.read,
        is_eager=True,
        show_default=False,
    )


def _print_config_option(settings: Config):
    return typer.Option(
        "--print-config",
        help="Print all options as TOML, for --config, and stop.",
        callback=settings.demand_nothing,
        is_eager=True,
    )


app = typer.Typer(
    cls=StageGroup,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"sdtool {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """From a line of text to a 3D model that looks right from every side.

    Every stage reads and writes plain files; stdout carries only the result's path.
    """


def main(arguments: list[str] | None = None) -> None:
    """Run one command line and exit: 0 done, 1 failed, 2 wrong usage, 3 done with failed objects."""
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in ("stdout", "stderr"):
        if getattr(sys, stream) is None:  # closed by whoever began this
            setattr(sys, stream, open(os.devnull, "w", encoding="utf-8"))
    name_stdout()
    try:
        code = run(arguments)
        sys.stdout.flush()
    except OSError as error:  # nobody reads the result any more (`| head -1`), or a full disk
        if error.filename not in (None, NAME):  # of a file: `--debug` asks for it
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
        if not isinstance(error, BrokenPipeError):
            print(f"sdtool: stdout: {error.strerror}", file=sys.stderr)
    collector.finish()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line; print the result's path (or one JSON object); return the exit code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # idle threads must not spin beside workers
    head = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json, debug = "--json" in head, "--debug" in head
    try:
        command = typer.main.get_command(app)
        result = command(arguments, prog_name="sdtool", standalone_mode=False)
    except SdtoolError as error:
        if debug:
            raise
        return _report(error.exit_code, str(error), as_json)
    except (typer.Abort, KeyboardInterrupt):
        return _report(130, "stopped; the same command continues", as_json)
    except BrokenPipeError:
        return 1
    except typer.Exit as stop:
        if stop.exit_code == 130:  # the command-line parser's word for Ctrl-C
            return _report(130, "stopped; the same command continues", as_json)
        return stop.exit_code
    except Exception as error:
        if debug or getattr(error, "filename", None) == NAME:  # of stdout: `main` says so
            raise
        if hasattr(error, "format_message"):  # wrong usage, found by the command-line parser
            message = error.format_message().replace(": Value error, ", ": ")  # the validator's own
            if not message:  # a bare `sdtool` has printed its help
                return 2
            return _report(2, message + _on_quotes(error), as_json)
        if isinstance(error, OSError) and error.strerror:  # a full disk, a folder not ours, …
            where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, PATHS) else ""
            return _report(1, where + error.strerror + CURES.get(error.errno or 0, ""), as_json)
        text = f"unexpected {type(error).__name__}: {error} (add --debug for the traceback)"
        return _report(1, text, as_json)
    finally:
        lock.release_all()
    if result == 130:  # Ctrl-C, as newer command-line parsers return it
        return _report(130, "stopped; the same command continues", as_json)
    if result is None or isinstance(result, int):
        return result or 0
    if isinstance(result, Report):
        return _answer(result, as_json)
    if result.failed and (named := result.path / FAILURES).is_file():
        many = "object" if result.failed == 1 else "objects"
        print(f"{result.failed} {many} failed; {named} says why", file=sys.stderr)
    if as_json:
        print(json.dumps({"path": str(result.path), "failed": result.failed, **result.summary}))
    else:
        print(result.path)
    return 3 if result.failed else 0


def _on_quotes(error: Any) -> str:
    """The cure where the words of a prompt were given one by one, as `sdtool lift a corgi` does."""
    context = getattr(error, "ctx", None)
    takes_prompt = context and any(one.name == "prompt" for one in context.command.params)
    if not takes_prompt or "unexpected extra argument" not in str(error.format_message()):
        return ""
    return '; put a prompt of several words in quotes: "a corgi"'


def _answer(report: Report, as_json: bool) -> int:
    code = 1 if report.complaint else 0
    if as_json:
        error = {"error": report.complaint, "exit_code": code} if code else {}
        print(json.dumps(report.facts | error))
    else:
        report.show()
    if code:
        print(f"sdtool: {report.complaint}", file=sys.stderr)
    return code


def _report(code: int, message: str, as_json: bool) -> int:
    print("sdtool:", escaped(message, keep="\n"), file=sys.stderr)
    if as_json:
        print(json.dumps({"error": message, "exit_code": code}))
    return code


if __name__ == "__main__":
    main()
