"""Where a wheel lies: the package index's simple API (PEP 503 in HTML, PEP 691 in JSON)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from models.transfer import FetchError, Transfer

PUBLIC_INDEX = "https://pypi.org/simple"
INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
"""Where uv and pip let a user name another index; the first one that is set counts."""
_ACCEPT = (
    "application/vnd.pypi.simple.v1+json, "
    "application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
)


@dataclass(frozen=True)
class WheelFile:
    """A wheel as the index describes it."""

    filename: str
    url: str
    sha256: str | None
    bytes: int | None
    """``None`` when the index does not tell."""


def index_url(environ: Mapping[str, str]) -> str:
    """Return the simple API's address: the user's own index, or the public one."""
    for variable in INDEX_VARIABLES:
        # uv also takes "name=https://…".
        address = re.sub(r"^[\w.-]+=(?=https?://)", "", environ.get(variable, "").strip())
        if address:
            return address.rstrip("/")
    return PUBLIC_INDEX


class PackageIndex:
    """One package index."""

    def __init__(self, transfer: Transfer, url: str) -> None:
        """Look packages up at ``url``, the simple API without its closing slash."""
        self._transfer = transfer
        self._url = url

    def wheel(self, name: str, version: str) -> WheelFile:
        """Return the wheel of exactly that version; ``FetchError`` when there is none."""
        response = self._transfer.page(f"{self._url}/{_normal(name)}/", _ACCEPT)
        base = str(response.request.url)
        if "json" in response.headers["Content-Type"]:
            files = _from_json(response.text, base)
        else:
            files = _from_html(response.text, base)
        for file in files:
            fields = file.filename.removesuffix(".whl").split("-")
            if (
                file.filename.endswith(".whl")
                and len(fields) >= 5
                and _normal(fields[0]) == _normal(name)
                and fields[1] == version
            ):
                return file
        raise FetchError(f"the package index has no wheel of {name} {version}")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _from_json(text: str, base: str) -> list[WheelFile]:
    try:
        files: list[dict[str, Any]] = json.loads(text)["files"]
        return [
            WheelFile(
                filename=str(file["filename"]),
                url=urljoin(base, str(file["url"])),
                sha256=file.get("hashes", {}).get("sha256"),
                bytes=file.get("size"),
            )
            for file in files
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise FetchError("the package index's answer makes no sense") from exc


def _from_html(text: str, base: str) -> list[WheelFile]:
    links = _Links()
    links.feed(text)
    links.close()
    files = []
    for href in links.hrefs:
        url, fragment = urldefrag(urljoin(base, href))
        digest = fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None
        filename = unquote(urlsplit(url).path.rsplit("/", 1)[-1])
        files.append(WheelFile(filename=filename, url=url, sha256=digest, bytes=None))
    return files


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.hrefs.extend(value for name, value in attrs if name == "href" and value)
