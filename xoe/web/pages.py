"""Pages that are one HTML file each in ``public``: library, status, HTTP interface."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import FileResponse

from core.settings import site_root

router = APIRouter()


@router.get("/status", include_in_schema=False)
async def status_page() -> FileResponse:
    """Send the operator's page, which asks the health routes.

    It shows no document's name and nothing that was said.
    """
    return _page("status.html")


@router.get("/documents", include_in_schema=False)
async def library_page() -> FileResponse:
    """Send the library's page, which asks for ``/library``."""
    return _page("documents.html")


@router.get("/docs", include_in_schema=False)
async def interface_page() -> FileResponse:
    """Send Swagger UI, served from here, which asks for ``/openapi.json``."""
    return _page("interface.html")


def _page(name: str) -> FileResponse:
    return FileResponse(site_root() / "public" / name, media_type="text/html")
