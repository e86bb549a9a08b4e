"""What the command line asks of a running server when it has changed an account.

Authentication lets operators alone come to ``/accounts``.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from core.errors import AccountError
from xoe.auth.identity import USER
from xoe.web.health import startup_of

router = APIRouter()


class ForgetRequest(BaseModel):
    """Whose chats, documents and history are to be deleted."""

    model_config = ConfigDict(extra="forbid")

    account: Annotated[str, Field(min_length=1, max_length=32)] = Field(
        description="The name of an account that was removed."
    )


class Done(BaseModel):
    """It was done."""


@router.post("/accounts/changed", tags=["accounts"])
async def changed(request: Request) -> Done:
    """Look at all logins anew: those that were ended elsewhere lose their open pages at once."""
    auth = await startup_of(request).auth()
    auth.sessions.look_again()
    return Done()


@router.post("/accounts/forget", tags=["accounts"])
async def forget(request: Request, body: ForgetRequest) -> Done:
    """Delete all that is kept of an account that was removed."""
    from xoe.auth.users import normalised  # with the database, behind the page

    startup = startup_of(request)
    auth = await startup.auth()
    name = normalised(body.account)
    if await auth.users.find(name) is not None:
        raise AccountError(f"The account {name} is there still: remove it first.")
    await request.app.state.guests.forget(f"{USER}{name}")
    return Done()
