"""Says in words whether a box is ticked: a box alone tells a search, and a model, nothing."""

from __future__ import annotations

import re

TICKED = "☑"
UNTICKED = "☐"

_BOX = re.compile("[☐☑☒🗹🗷🗵]\ufe0e?")
_TASK = re.compile(
    r"^(?P<before>[ \t]*(?:>[ \t]*)*(?:(?:[-*+•]|\d{1,6}[.)])[ \t]+)?)\[(?P<mark>[ xX✓✔])\]"
    r"(?P<space>[ \t]+)(?=[^\s(\[])",
)
_FENCE = re.compile(r"[ \t]*(?:>[ \t]*)*(```+|~~~+)")


def spell_boxes(line: str) -> str:
    """Write the boxes of a line in words, each with what stands beside it.

    A box stands before its words ("☐ milk") unless the line begins with words and ends with a box
    ("milk ☐"). One that stands alone, as in a table's cell, is its word.
    """
    if _BOX.search(line) is None:
        return line
    boxes = [box.group()[0] != UNTICKED for box in _BOX.finditer(line)]
    lead, *labels = (part.strip() for part in _BOX.split(line))
    if not lead and not any(labels):
        return ", ".join(map(_word, boxes))
    if lead and not labels[-1]:  # the words come first
        labels, lead = [lead, *labels[:-1]], ""
    said = (
        f"[{'x' if on else ' '}] {_word(on)}: {label}" if label else _word(on)
        for on, label in zip(boxes, labels, strict=True)
    )
    return " ".join(filter(None, (lead, *said)))


def spell_tasks(text: str, *, fenced: bool) -> str:
    """Write ticks into the task items of a text: ``- [ ] milk`` says that it is not ticked.

    ``fenced``: what stands between fences, as Markdown's code, is left as it is.
    """
    if "[" not in text and _BOX.search(text) is None:
        return text
    lines, fence = [], ""
    for line in text.splitlines(keepends=True):
        mark = _FENCE.match(line) if fenced else None
        if mark is not None and (not fence or mark.group(1).startswith(fence)):
            fence = "" if fence else mark.group(1)
        lines.append(line if fence else _TASK.sub(_spelled_task, line))
    return "".join(lines)


def _spelled_task(match: re.Match[str]) -> str:
    word = _word(match.group("mark") != " ")
    return f"{match.group('before')}[{match.group('mark')}]{match.group('space')}{word}: "


def _word(ticked: bool) -> str:
    return "ticked" if ticked else "not ticked"
