"""Prints, as JSON, every way into the running app: its routes, its socket's events, its buttons.

``described`` are the OpenAPI descriptions of our routes and of Chainlit's.

They are read from the app itself, so that a new one cannot be forgotten.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi.params import File, Form
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from core.settings import load_settings, site_root
from xoe.serve.server import create_app
from xoe.web.offline import _is_closed


def routes_of(routes: Iterable[Any], prefix: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield methods, paths and routes, in the order in which they are looked at."""
    for route in routes:
        if hasattr(route, "original_router"):
            yield from routes_of(route.original_router.routes, prefix)
        elif type(route).__name__ == "Mount":
            inner = list(getattr(route, "routes", None) or [])
            if inner:
                yield from routes_of(inner, prefix + route.path)
            else:
                yield "*", prefix + route.path, route
        else:
            for method in sorted(getattr(route, "methods", None) or ["WEBSOCKET"]):
                if method != "HEAD":
                    yield method, prefix + route.path, route


def schema_of(route: Any) -> dict[str, Any]:
    """Return the JSON schema of what a route takes; an empty one where it takes no JSON."""
    params = route.dependant.body_params if isinstance(route, APIRoute) else []
    models = [param.field_info.annotation for param in params if not _is_form(param)]
    return TypeAdapter(models[0]).json_schema() if models else {}


def _is_form(param: Any) -> bool:
    return isinstance(param.field_info, Form | File)


def _module(route: Any) -> str:
    return str(getattr(getattr(route, "endpoint", None), "__module__", ""))


def main() -> None:
    """Print them."""
    app = create_app(load_settings(data_dir=sys.argv[1]))
    from chainlit.config import config
    from chainlit.server import app as page
    from chainlit.server import sio

    found: dict[tuple[str, str], Any] = {}
    for method, path, route in routes_of(app.routes):
        found.setdefault((method, path), route)
    elements = (site_root() / "public" / "elements").glob("*.jsx")
    json.dump(
        {
            "routes": [[method, path] for method, path in found if not _is_closed(path)],
            "schemas": {f"{m} {path}": schema_of(route) for (m, path), route in found.items()},
            "ours": [
                f"{m} {path}"
                for (m, path), route in found.items()
                if not _module(route).startswith("chainlit")
            ],
            "described": [app.openapi(), page.openapi()],
            "events": sorted(event for space in sio.handlers.values() for event in space),
            "actions": sorted(config.code.action_callbacks),
            "elements": sorted(path.stem for path in elements),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
