"""Exams while an AGP trains: their results as lines of exams.jsonl, and as curves in exams.svg."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

from sdtool.io.files import append_jsonl, read_jsonl, trim_jsonl, write_text

EXAMS, PICTURE = "exams.jsonl", "exams.svg"
SHARES = ("view_identification", "category_identification")

WIDTH, HEIGHT, LEFT, TOP, BOTTOM, LINE = 640, 260, 44, 16, 34, 16
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")

# (step, share in [0, 1]) of one curve, by its name
Curves = dict[str, list[tuple[int, float]]]


def note_exams(out: Path, step: int, measured: dict[str, dict[str, Any]]) -> dict[str, float]:
    """Add what was measured in each exam (`exam.take_exam`), after `step` steps, to the files in `out`.

    Lines of this step and later ones are of a run that was killed, and go. Returns the shares and losses by
    names such as "held-out objects/view_identification".
    """
    trim_jsonl(out / EXAMS, lambda line: line["step"] < step)
    numbers: dict[str, float] = {}
    for name, facts in measured.items():
        losses = facts["loss"].values()
        shares = {key: facts[key] for key in SHARES if key in facts}
        shares["loss"] = round(sum(losses) / len(losses), 5)
        numbers |= {f"{name}/{key}": value for key, value in shares.items()}
        append_jsonl(out / EXAMS, {"step": step, "exam": name, **shares, "bands": facts["loss"]})
    write_text(out / PICTURE, drawn(curves(read_jsonl(out / EXAMS))))
    return numbers


def curves(lines: Iterable[dict[str, Any]]) -> Curves:
    """The shares in lines of exams.jsonl, as curves over the steps."""
    found: Curves = {}
    for line in lines:
        for key in SHARES:
            if key in line:
                name = f"{key.replace('_', ' ')}, {line['exam']}"
                found.setdefault(name, []).append((line["step"], line[key]))
    return found


def drawn(found: Curves) -> str:
    """Curves as an SVG: steps to the right, shares from 0 to 1 upward, names below."""
    last = max((step for points in found.values() for step, _ in points), default=1)
    wide, high = WIDTH - 2 * LEFT, HEIGHT - TOP - BOTTOM

    def place(step: float, share: float) -> tuple[float, float]:
        return round(LEFT + wide * step / last, 1), round(TOP + high * (1 - share), 1)

    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        _, y = place(0, share)
        parts.append(f'<path d="M{LEFT} {y}H{LEFT + wide}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{share:.0%}</text>')
    for step in (0, last):
        x, y = place(step, 0)
        parts.append(f'<text x="{x}" y="{y + 18}" text-anchor="middle">{step:,}</text>')
    for k, (name, points) in enumerate(found.items()):
        colour, dash = COLOURS[k % len(COLOURS)], ' stroke-dasharray="6 3"' * (k % 2)
        way = " ".join(f"{x},{y}" for x, y in (place(*point) for point in points))
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}"{dash}/>')
        parts += [
            f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>'
            for x, y in (place(*point) for point in points)
        ]
        said = f"{escape(name)}: {points[-1][1]:.1%}"
        parts.append(f'<text x="{LEFT}" y="{HEIGHT + k * LINE + 8}" fill="{colour}">{said}</text>')
    height = HEIGHT + LINE * len(found) + 8
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
    )
