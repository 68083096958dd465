"""Look at models in the browser: one page that needs no network.

PATH is a model (.glb, .gltf, .vrm, .obj, .ply, .stl, .off), the directory of a finished `sdtool lift`, or
a folder of such; several share a page and a camera. Drag to turn, scroll to zoom, drag with the right
button to move. Buttons and keys show the materials (1), the base colour (2), normals (3), canonical
coordinates (4) and the wireframe (W), look at the front, side, back or top (F S B U), turn (T) and change
the light (E); N shows the next model. Of a lift the page also holds the previews in their order, as a
slider (H hides it, P plays it), and `model.glb` if it is newer than the lift, else the shape with vertex
colours.

The page is one HTML file: beside the model (`corgi.html`), in the lift's directory (`view.html`), of
several `view.html` beside the first. It opens in the browser when stdout is a terminal and there is a
display. `--serve` also offers it at an address of this machine (and of no other), until Ctrl-C.
`--follow` shows a lift that is still at work: its newest picture, both priors' losses and the time left;
it writes nothing and ends with the lift. The
end of an address chooses what is shown first: `#mode=ccm&wire=1&env=dark&view=side&model=2`.

Examples:

    sdtool view corgi.glb

    sdtool view runs/a-corgi --out corgi.html

    sdtool view runs/a-corgi runs/without-agp --out both.html --no-browser

    sdtool view runs                                 # every finished lift in it

    sdtool view --follow runs/a-corgi                # while it is lifted, here or elsewhere

    sdtool view runs/a-corgi --serve --port 8000     # over SSH: ssh -L 8000:127.0.0.1:8000 HOST
"""

import sys
from pathlib import Path
from typing import Annotated

import typer

from sdtool.errors import UsageError
from sdtool.io import files, stage_record

ENDINGS = (".html", ".htm")


def view(
    paths: Annotated[
        list[Path], typer.Argument(help="Models, or directories of lifts.", metavar="PATH…")
    ],
    out: Annotated[
        Path | None, typer.Option(help="Page to write; default: beside the first PATH.")
    ] = None,
    serve: Annotated[
        bool, typer.Option("--serve", help="Offer the page on 127.0.0.1 until Ctrl-C.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show a lift while it runs, on 127.0.0.1.")
    ] = False,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of --serve or --follow; 0: any free one.")
    ] = 0,
    browser: Annotated[
        bool | None,
        typer.Option(
            "--browser/--no-browser",
            help="Open the page; default: if stdout is a terminal and there is a display.",
        ),
    ] = None,
) -> stage_record.Result:
    if port and not (serve or follow):
        raise UsageError(f"--port {port} is for --serve; add that", "--port")
    from sdtool.viewing.browser import has_display

    browser = has_display() if browser is None else browser
    if follow:
        return _follow(paths, port, browser)
    if out and out.suffix.lower() not in ENDINGS:
        raise UsageError(f"--out {out}: end the name with .html", "--out")
    out = out or _beside(paths)
    if out.is_dir():
        said = f"--out {out} is a directory; name a file, such as {out / 'view.html'}"
        raise UsageError(said, "--out")

    from sdtool.viewing.page import build_page, is_ours
    from sdtool.viewing.subjects import lifts_or_itself, read_subject

    subjects = [read_subject(one) for path in paths for one in lifts_or_itself(path)]
    page = build_page(subjects).encode(**files.UTF8)
    facts = {"models": len(subjects), "pictures": sum(len(one.pictures) for one in subjects)}
    facts["bytes"] = len(page)
    if files.replace_own({out: page}, is_ours, cure="choose another --out"):
        print(f"wrote {out}: {facts['bytes'] / 1e6:.1f} MB", file=sys.stderr)
    else:
        print(f"{out} is already up to date", file=sys.stderr)
        facts["reused"] = True
    if serve:
        _serve(page, port, browser)
    elif browser:
        from sdtool.viewing.browser import open_page

        open_page(out.resolve().as_uri())
    return stage_record.Result(out, facts)


def _follow(paths: list[Path], port: int, browser: bool) -> stage_record.Result:
    """Serve a page about a running lift until it ends."""
    if len(paths) > 1:
        raise UsageError("--follow is for the directory of one lift; name that", "--follow")
    from sdtool.viewing.browser import open_page
    from sdtool.viewing.following import following, state, wait_for_the_end

    run = paths[0]
    if not state(run)["prompt"]:
        raise UsageError(
            f"{run} is not the directory of a lift that has begun; name what lift --out writes, or lift "
            "with --follow",
            "--follow",
        )
    with following(run, port) as url:
        print(f"following {run} at {url}; Ctrl-C ends it", file=sys.stderr)
        if browser:
            open_page(url)
        try:
            status = wait_for_the_end(run)
        except KeyboardInterrupt:
            status = "running"
    print(f"{run} is {status}", file=sys.stderr)
    return stage_record.Result(run, {"status": status})


def _beside(paths: list[Path]) -> Path:
    """Where the page goes by default."""
    first = paths[0]
    if len(paths) > 1:
        return first.parent / "view.html"
    return first / "view.html" if first.is_dir() else first.with_suffix(".html")


def _serve(page: bytes, port: int, browser: bool) -> None:
    from sdtool.viewing.browser import open_page
    from sdtool.viewing.serving import address, page_server

    with page_server(page, port) as server:
        print(f"serving {address(server)} to this machine; Ctrl-C ends it", file=sys.stderr)
        if browser:
            open_page(address(server))
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("ended", file=sys.stderr)
