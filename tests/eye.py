"""axe-core, which looks at pages in both themes. No rule is switched off."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

FAILING = ("serious", "critical")
SETTLE_MS = 350
"""Longer than the page waits before it looks after what came."""
LATE_MS = 2000


def _violations(page: Page) -> list[dict[str, Any]]:
    told = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return list(told["violations"])


@dataclass
class Eye:
    """Looks at a page in both themes, and remembers what it found."""

    found: list[str] = field(default_factory=list)
    minor: set[str] = field(default_factory=set)
    states: int = 0

    def look(self, page: Page, state: str) -> None:
        page.wait_for_timeout(SETTLE_MS)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            if not page.evaluate("'axe' in window"):
                page.evaluate(AXE_SCRIPT)
            self.states += 1
            violations = _violations(page)
            if any(violation["impact"] in FAILING for violation in violations):
                page.wait_for_timeout(LATE_MS)  # a busy machine: what is named late is no fault
                violations = _violations(page)
            for violation in violations:
                for node in violation["nodes"]:
                    line = (
                        f"{state}, {theme}: {violation['impact']} {violation['id']} "
                        f"{node['target']} {node['html'][:160]}"
                    )
                    if violation["impact"] in FAILING:
                        self.found.append(line)
                    else:
                        self.minor.add(violation["id"])

    def verdict(self) -> None:
        print(f"{self.states} looks; moderate and minor: {sorted(self.minor) or 'none'}")
        assert not self.found, "\n".join(self.found)
