"""The operator's page: how the house is, with small plots of the last minutes.

It is one HTML file with its own style and script in ``public``, and asks the health routes. It
shows no document's name and nothing that was said.
"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from core.settings import site_root

PATH = "/status"

router = APIRouter()


@router.get(PATH, include_in_schema=False)
async def status_page() -> FileResponse:
    """Send the page; the gate lets operators alone come here."""
    return FileResponse(site_root() / "public" / "status.html", media_type="text/html")
