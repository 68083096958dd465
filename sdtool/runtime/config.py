"""A stage's options as a TOML file: `--config` reads them, `--print-config` writes them.

Keys are the long names of options, with dashes or underscores, and the names of arguments. The command
line wins over the file, the file over the defaults. A table named after a stage holds what is for that
stage alone, so that one file serves a whole pipeline. An option of the kind KEY=VALUE may be a table:
`[set.coarse]` with `steps = 300` is `--set coarse.steps=300`.
"""

import difflib
import tomllib
from collections.abc import Collection, Iterator
from inspect import Signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import typer

from sdtool.errors import UsageError
from sdtool.io import files, toml

PAIRS = "KEY=VALUE"  # metavar of the options that may be a table
OF_THE_CALL = ("as_json", "debug", "config", "print_config")  # no keys: how to run, not what to do


class Config:
    """The config file of one stage's command.

    stage: its name. stages: the names of all. signature: of the stage's function; its annotations say
    what kind of value a key has.
    """

    def __init__(self, stage: str, stages: Collection[str], signature: Signature):
        self.stage, self.stages = stage, stages
        self.kinds = {name: _bare(p.annotation) for name, p in signature.parameters.items()}
        self.path: Path | None = None
        self.pairs: dict[str, list[str]] = {}  # parameter → the file's texts like coarse.steps=300

    def read(self, ctx: typer.Context, path: Path | None) -> Path | None:
        """Callback of `--config`: the file's values become defaults. UsageError names file and key."""
        if path is None or ctx.resilient_parsing:
            return path
        self.path, keys, defaults = path, self._keys(ctx), {}
        for key, value in self._entries(_parsed(path)):
            param = keys.get(key)
            if param is None:
                raise UsageError(f"{path}: {self._unknown(key, value, keys)}", "--config")
            if param.metavar == PAIRS:
                texts = list(_flat(value)) if isinstance(value, dict) else value
                self._check(ctx, key, param, texts)
                self.pairs.setdefault(param.name, []).extend(texts)
                value = self.pairs[param.name]
            else:
                self._check(ctx, key, param, value)
            defaults[param.name] = value
        ctx.default_map = defaults
        return path

    def demand_nothing(self, ctx: typer.Context, wanted: bool) -> bool:
        """Callback of `--print-config`: what is printed may lack what the stage needs."""
        if wanted:
            for param in ctx.command.params:
                param.required = False
        return wanted

    def joined(self, ctx: typer.Context, options: dict[str, Any]) -> dict[str, Any]:
        """The options, with the file's KEY=VALUE texts before those of the command line."""
        for name, texts in self.pairs.items():
            if _source(ctx, name) == "COMMANDLINE":
                options = options | {name: [*texts, *options[name]]}
        return options

    def as_toml(self, ctx: typer.Context, options: dict[str, Any]) -> str:
        """The options as text that `--config` reads; what is not set is a comment. A dictionary, for
        an option of the kind KEY=VALUE, becomes tables."""
        lines = [
            f"# Options of sdtool {self.stage}, for its --config. The command line wins over them."
        ]
        tables: list[str] = []
        for key, param in self._keys(ctx).items():
            value, kind = options[param.name], self.kinds[param.name]
            words = ", ".join(map(toml.value, _choices(kind)))
            said = toml.comment(" ".join([param.help or "", f"One of {words}." if words else ""]))
            if isinstance(value, dict):
                tables += ["", *said, *toml.tables(key, value)]
            elif value is None or value in ([], ()):
                lines += ["", *said, f"# {key} = {toml.value(_blank(kind))}"]
            else:
                lines += ["", *said, f"{key} = {toml.value(value)}"]
        return "\n".join(lines + tables) + "\n"

    def traced(self, ctx: typer.Context, error: UsageError) -> UsageError:
        """The error, with the file's name before it if what it blames stands in the file."""
        if any(self._stands_in_file(ctx, *option.partition(" ")[::2]) for option in error.options):
            return UsageError(f"{self.path}: {error}", *error.options)
        return error

    def _stands_in_file(self, ctx: typer.Context, name: str, text: str) -> bool:
        """Whether the file gives an option, or an argument in capitals; of an option of the kind
        KEY=VALUE, whether it gives this text."""
        for param in ctx.command.params:
            if name in (*param.opts, param.name.upper()):
                if text:
                    return text in self.pairs.get(param.name, [])
                return _source(ctx, param.name) == "DEFAULT_MAP"
        return False

    def _keys(self, ctx: typer.Context) -> dict[str, Any]:
        """{key in the file: parameter of the command}."""
        params = [param for param in ctx.command.params if param.name not in OF_THE_CALL]
        return {max(p.opts, key=len).lstrip("-").replace("_", "-"): p for p in params}

    def _entries(self, table: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """(key, value) that are for this stage: those outside of tables, then those in its own."""
        own = table.get(self.stage)
        outside = {
            k: v for k, v in table.items() if k not in self.stages or not isinstance(v, dict)
        }
        for part in (outside, own if isinstance(own, dict) else {}):
            seen = set()
            for key, value in part.items():
                key = key.replace("_", "-")
                if key in seen:
                    said = f"{self.path}: {key} is given twice, with - and with _"
                    raise UsageError(said, "--config")
                seen.add(key)
                yield key, value

    def _unknown(self, key: str, value: Any, keys: dict[str, Any]) -> str:
        """What is wrong with a key that the stage does not have."""
        if key in ("json", "debug", "config", "print-config"):
            return f"{key} is for the command line only"
        if key in self.stages:
            return f"{key} is a stage, so that it should be a table, [{key}]"
        if isinstance(value, dict):
            near = difflib.get_close_matches(key, self.stages, 1)
            hint = f"; do you mean [{near[0]}]?" if near else ""
            return f"the table [{key}] is named after no stage of sdtool{hint}"
        near = difflib.get_close_matches(key, keys, 1)
        hint = f"the nearest is {near[0]}" if near else "--print-config shows those that it has"
        return (
            f"{self.stage} has no option {key}; {hint} (options of another stage go "
            f"into a table named after it, such as [{next(iter(self.stages))}])"
        )

    def _check(self, ctx: typer.Context, key: str, param: Any, value: Any) -> None:
        """UsageError if the option cannot have this value."""
        kind = self.kinds[param.name]
        if not _fits(value, kind):
            shown = f"{key} = {toml.value(value)}" if not isinstance(value, dict) else f"[{key}]"
            raise UsageError(f"{self.path}: {shown} should be {_in_words(kind)}", "--config")
        try:
            param.process_value(ctx, value)
        except typer.BadParameter as error:
            said = f"{self.path}: {key} = {toml.value(value)}: {error.message}"
            raise UsageError(said, "--config") from None


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(files.text_of(path))
    except OSError as error:
        raise UsageError(f"--config {path} cannot be read ({error.strerror})", "--config") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"--config {path} is no text in UTF-8 ({error})", "--config") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"--config {path} is no valid TOML: {error}", "--config") from None


def _flat(table: dict[str, Any], before: str = "") -> Iterator[str]:
    """A table as KEY=VALUE texts: {"coarse": {"steps": 300}} is "coarse.steps=300"."""
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}={toml.value(value)}"


def _source(ctx: typer.Context, name: str) -> str:
    """Where a parameter's value comes from: COMMANDLINE, ENVIRONMENT, DEFAULT_MAP, DEFAULT or ""."""
    return getattr(ctx.get_parameter_source(name), "name", "")


# Kinds of values, from a function's annotations


def _bare(kind: Any) -> Any:
    """The kind in an annotation: without Typer's part and without `| None`."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    return kind


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value read from TOML is of the kind that an annotation asks for."""
    inner = get_args(kind)
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(one, inner[0]) for one in value)
    if get_origin(kind) is tuple:
        alike = isinstance(value, list) and len(value) == len(inner)
        return alike and all(map(_fits, value, inner))
    if words := _choices(kind):
        return value in words
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind in (int, float):
        return isinstance(value, int | float if kind is float else int)
    return isinstance(value, str)


def _in_words(kind: Any) -> str:
    inner = get_args(kind)
    if words := _choices(kind):
        return f"one of {', '.join(map(toml.value, words))}"
    if get_origin(kind) is list:
        return f"a list: {_in_words(inner[0])}, …"
    if get_origin(kind) is tuple:
        return f"a list: {', '.join(map(_in_words, inner))}"
    names = {bool: "true or false", int: "a whole number", float: "a number"}
    return names.get(kind, "text in quotes")


def _blank(kind: Any) -> Any:
    """The value that a commented line shows."""
    if get_origin(kind) in (list, tuple):
        return []
    return {bool: True, int: 0, float: 0.0}.get(kind, "")


def _choices(kind: Any) -> tuple[str, ...]:
    """The words to choose from; none if the kind is another."""
    return get_args(kind) if get_origin(kind) is Literal else ()
