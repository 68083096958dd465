"""Share an AGP: put it on a model hub, where others take it with `--agp OWNER/NAME`.

AGP is a folder that `finetune-agp` wrote. Its weights and agp.json go to the hub (huggingface.co, or what the
variable HF_ENDPOINT names); its model card becomes the page, with the licence of the base, the base, and
the tags that hubs search by. Log files, pictures and checkpoints stay here.

The login is the hub's own: `hf auth login`, or the variable HF_TOKEN. An AGP whose base is a folder of this
machine needs `--base`, because others cannot find it. The licence is read from the base's page; where
nobody names it, `--license` must.

Examples:

    sdtool push agp/ someone/corgi-agp --dry-run

    sdtool push agp/ someone/corgi-agp --private

    sdtool lift "a corgi" --agp someone/corgi-agp
"""

from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import UsageError
from sdtool.io.stage_record import Report


def push(
    agp: Annotated[Path, typer.Argument(help="Folder of an AGP.", metavar="AGP")],
    repository: Annotated[
        str, typer.Argument(help="Where it goes: OWNER/NAME.", metavar="REPOSITORY")
    ],
    base: Annotated[
        str | None,
        typer.Option(help="Hub id of its base, for others. [default: as the AGP names it]"),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(
            help="The base's licence, by the hub's name for it, such as openrail++. [default: as its page "
            "says]"
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Only you, or your organisation, can see it.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="Put a new version into what is there already.")
    ] = False,
    message: Annotated[str, typer.Option(help="Of the commit.")] = "An AGP, by sdtool push",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show files, sizes and the page; upload nothing.")
    ] = False,
) -> Report:
    from sdtool.priors.hub import is_hub_id
    from sdtool.pushing.parcel import check_agp, parcel, public_base

    if not is_hub_id(repository) or "@" in repository:
        raise UsageError(f"{repository} is no OWNER/NAME of a model hub", "REPOSITORY")
    card = check_agp(agp)
    public = public_base(agp, card, base)

    from sdtool.pushing import upload

    beside = agp / str(card.get("base", ""))
    terms = license or upload.license_of(public, beside if beside.is_dir() else None)
    sent = parcel(agp, card, repository, public, terms)
    facts = {"repository": repository, "base": public, "license": terms, "files": sent.sizes}

    def show_plan() -> None:
        for name, size in sent.sizes.items():
            print(f"{size:>14,}  {name}")
        print(f"{sum(sent.sizes.values()):>14,}  bytes in {len(sent.sizes)} files\n")
        print(sent.text, end="")

    if dry_run:
        return Report(facts | {"page": sent.text}, show_plan)
    address = upload.push(sent, repository, private=private, update=update, message=message)
    return Report(facts | {"url": address}, lambda: print(address))
