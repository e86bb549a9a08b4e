"""Prints, as JSON, every way into the running app: its routes, its socket's events, its buttons.

They are read from the app itself, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from xoe.page.offline import _is_closed
from xoe.server import create_app
from xoe.settings import load_settings, site_root


def routes_of(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield methods and paths, in the order in which they are looked at."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from routes_of(route.original_router.routes, prefix)
        elif type(route).__name__ == "Mount":
            inner = list(getattr(route, "routes", None) or [])
            yield from (
                routes_of(inner, prefix + route.path) if inner else [("*", prefix + route.path)]
            )
        else:
            for method in sorted(getattr(route, "methods", None) or ["WEBSOCKET"]):
                if method != "HEAD":
                    yield method, prefix + route.path


def main() -> None:
    """Print them."""
    app = create_app(load_settings(data_dir=sys.argv[1]))
    from chainlit.config import config
    from chainlit.server import sio

    found = dict.fromkeys(routes_of(app.routes))
    elements = (site_root() / "public" / "elements").glob("*.jsx")
    json.dump(
        {
            "routes": [[method, path] for method, path in found if not _is_closed(path)],
            "events": sorted(event for space in sio.handlers.values() for event in space),
            "actions": sorted(config.code.action_callbacks),
            "elements": sorted(path.stem for path in elements),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
