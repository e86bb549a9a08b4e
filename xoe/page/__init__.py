"""The page: what stands between Chainlit's callbacks in ``app.py`` and the services."""

from __future__ import annotations

import sys

from xoe.page.modules import keep_modules

# Before any module of the page imports an error or a type: see ``xoe.page.modules``.
_server = sys.modules.get("chainlit.server")
if _server is not None:
    keep_modules(_server.app)
