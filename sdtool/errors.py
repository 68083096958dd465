"""The few kinds of error a user can cause. `sdtool.cli` makes each a sentence and a code."""


class SdtoolError(Exception):
    """Something a user can cure. The message names the input and the cure in one sentence."""

    exit_code = 1


class UsageError(SdtoolError):
    """The command was called in a way that cannot work (wrong option value, wrong combination).

    options: what it blames: long names of options, such as "--lr"; of an option of the kind KEY=VALUE
    also the text, "--set coarse.steps=0"; names of arguments in capitals, "PROMPT". The command line
    looks up whether they were given there or in a `--config` file.
    """

    exit_code = 2

    def __init__(self, message: str, *options: str):
        super().__init__(message)
        self.options = options

    def __reduce__(self):
        return type(self), (str(self), *self.options)


class InputError(SdtoolError):
    """A file or folder that was given cannot be used."""


class BusyError(SdtoolError):
    """Another command writes where this one would; the message says which, and since when."""


class MissingDependencyError(SdtoolError):
    """An optional package is needed; the message holds the command that installs it."""


class ObjectError(SdtoolError):
    """One object of many cannot be used: it becomes a line of `failures.jsonl`, not the end.

    `reason` is a short slug such as ``"no-triangles"``; the message says more.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason

    def __reduce__(self):  # so that it comes back whole from a worker process
        return type(self), (self.reason, str(self))


class UnopenedError(ObjectError):
    """A `file` of one object could not be opened, which says nothing of what it holds: once it can be, the
    same command tries the object again."""

    def __init__(self, reason: str, message: str, file: str):
        super().__init__(reason, message)
        self.file = file

    def __reduce__(self):
        return type(self), (self.reason, str(self), self.file)


class OutOfMemoryError(ObjectError):
    """Memory ran out at one object of many, which may have been small: its reason is ``too-large``."""

    def __init__(self, message: str):
        super().__init__("too-large", message)

    def __reduce__(self):
        return type(self), (str(self),)
