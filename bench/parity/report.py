"""Write the results of a comparison, as lines and as the tables of docs/parity.md."""

import re
from collections.abc import Iterable, Iterator

import numpy as np

from bench.markdown import markdown
from bench.parity import golden
from bench.parity.cases import CASES, Case
from bench.parity.compare import Agreement, compare
from bench.parity.differences import DIFFERENCES
from bench.parity.frames import frames
from bench.parity.golden import Answer
from gpustack.clips import Clip
from gpustack.combines import NoiseModel
from gpustack.recipe import Recipe

_BLOCK = re.compile(r"(<!-- parity: (\w+) -->\n).*?(<!-- /parity -->)", re.DOTALL)


def same(answer: Answer, kept: Answer) -> bool:
    """Whether an answer is the same as the kept one, bit for bit."""
    return answer.maps.keys() == kept.maps.keys() and all(
        np.array_equal(map_, kept.maps[name]) for name, map_ in answer.maps.items()
    )


def line(case: Case, answer: Answer) -> str:
    """The number of pixels in which gpustack agrees, as text."""
    if case.ours is None:
        return "no counterpart"
    found = compare(case, answer)
    return f"{found.pixels - found.differing} of {found.pixels} pixels equal"


def fill(page: str) -> str:
    """The page with its blocks renewed: ``<!-- parity: iraf -->``, ``siril``, ``notes``."""

    def block(match: re.Match[str]) -> str:
        made = reasons() if match[2] == "notes" else table(match[2])
        return f"{match[1]}{made}\n{match[3]}"

    return _BLOCK.sub(block, page)


def table(program: str) -> str:
    """A table with a row for each set of options: frames, our recipe, pixels that agree."""
    head = ["options", "frames", "gpustack", "equal", "of", "note"]
    return markdown(head, rows(program))


def rows(program: str) -> Iterator[list[str]]:
    """The rows of a program; numbers of pixels are sums over all its frames."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in CASES.values():
        if case.program == program:
            groups.setdefault((_options(case), _recipe(case)), []).append(case)
    notes = list(dict.fromkeys(difference.why for difference in DIFFERENCES.values()))
    for (options, recipe), cases in groups.items():
        names = ", ".join(case.frames for case in cases)
        found = [compare(case, golden.load(case.name)) for case in cases if case.ours is not None]
        marks = {
            notes.index(DIFFERENCES[case.name].why) + 1
            for case in cases
            if case.name in DIFFERENCES
        }
        yield [options, names, recipe, *_counts(found), ", ".join(map(str, sorted(marks)))]


def _counts(found: Iterable[Agreement]) -> tuple[str, str]:
    found = list(found)
    if not found:
        return "", ""
    pixels = sum(agreement.pixels for agreement in found)
    return str(pixels - sum(agreement.differing for agreement in found)), str(pixels)


def _options(case: Case) -> str:
    if isinstance(case.options, str):
        return f"`{case.options}`"
    return f"`{case.title.replace('_', ' ')}`"


def _recipe(case: Case) -> str:
    if case.ours is None:
        return "-"
    recipe = case.recipe(frames(case.frames), golden.load(case.name).said)
    assert isinstance(recipe, Recipe)
    words = [f"`{_short(clip)}`" for clip in recipe.clips]
    combine = recipe.combine
    if isinstance(combine, NoiseModel):
        words.append(f"`{_short(combine)}`")
    elif combine != "mean" or not words:
        words.append(combine)
    words += [name for name in ("scale", "zero", "weights") if getattr(recipe, name) is not None]
    return ", ".join(words)


def _short(clip: Clip | NoiseModel) -> str:
    """A value as the command line accepts it, without the fields that have their defaults."""
    words, plain = str(clip).partition(":")[2].split(","), str(type(clip)()).partition(":")[2]
    body = ",".join(word for word in words if word not in plain.split(","))
    return f"{clip.name}:{body}" if body else clip.name


def reasons() -> str:
    """The notes of the tables, numbered."""
    notes = dict.fromkeys(difference.why for difference in DIFFERENCES.values())
    return "\n".join(f"{number}. {why}" for number, why in enumerate(notes, 1))
