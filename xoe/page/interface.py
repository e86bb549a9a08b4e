"""The page that describes the HTTP interface: Swagger UI, served from here."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from core.settings import site_root

PATH = "/docs"

router = APIRouter()


@router.get(PATH, include_in_schema=False)
async def interface_page() -> FileResponse:
    """Send the page, which asks for ``/openapi.json``."""
    return FileResponse(site_root() / "public" / "interface.html", media_type="text/html")
