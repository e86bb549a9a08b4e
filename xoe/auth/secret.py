"""The server's own secret, made once: what invitations and form tokens are signed with."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final

from core.durable import write_once
from core.errors import StoreError

FILE_NAME: Final = "secret.key"
_BYTES: Final = 32


def server_secret(data_dir: Path) -> str:
    """Return the secret (64 hex digits) of a data folder; make it if there is none.

    Two processes that make it at once agree on one. Raises ``StoreError`` when it cannot be read
    or is cut: everything signed with it would silently stop to work.
    """
    path = data_dir / FILE_NAME
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write_once(path, secrets.token_hex(_BYTES).encode("ascii"))
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise StoreError(f"The server's secret {path} cannot be read or written.") from exc
    if len(text) != 2 * _BYTES:
        raise StoreError(
            f"The server's secret {path} is damaged. Remove it to have a new one made; all "
            "invitations end with that."
        )
    return text
