"""``xoe user``: the accounts. Works beside a running server, and without one."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeVar, cast

import httpx
import typer

from core.errors import AccountError, XoeError
from xoe import running
from xoe.cli.common import AsJson, DataDir, errors, print_json, reported, settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from core.settings import Settings
    from xoe.auth.identity import Role
    from xoe.auth.services import AuthServices

T = TypeVar("T")

app = typer.Typer(
    name="user",
    help="The accounts: who may log in, and what they may.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

_ASK_S: Final = 60.0
_DAY_S: Final = 24 * 3600.0
_MAX_DAYS: Final = 3650

Name = Annotated[str, typer.Argument(help="The account's name: a-z, 0-9, dots, dashes.")]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from the standard input.")
]


@app.command("add")
def add_command(
    name: Name,
    role: Annotated[
        str | None,
        typer.Option(help="operator, user or guest; the first account is an operator."),
    ] = None,
    shown: Annotated[str | None, typer.Option("--display", help="The name to show.")] = None,
    take_over: Annotated[
        bool,
        typer.Option("--take-over", help="Own what an earlier account of that name has left."),
    ] = False,
    password_stdin: FromStdin = False,
    data_dir: DataDir = None,
) -> None:
    """Make an account. From the first one on everybody has to log in, on this computer too."""

    async def add(auth: AuthServices, settings: Settings) -> str:
        from xoe.auth.identity import VISITOR
        from xoe.auth.users import normalised
        from xoe.chats.owned import owned_data_of
        from xoe.chats.store import Threads

        account_name = normalised(name)
        left = await owned_data_of(f"user:{account_name}", auth.db, settings)
        if left and not take_over and await auth.users.find(account_name) is None:
            raise AccountError(
                f"An earlier account named {account_name} has left {left}. Give them to this one "
                "with --take-over, or choose another name."
            )
        password = _new_password(password_stdin)
        account = await auth.users.add(
            account_name, password, role=cast("Role | None", role), shown=shown
        )
        said = f"{account.name} may log in now, as {_a(account.role)}."
        if len(await auth.users.list()) == 1 and await Threads(auth.db).resting_owners(
            VISITOR, time.time()
        ):
            said += (
                " The chats of before belong to the browser that they were begun in: log in there, "
                "and take them over at /account."
            )
        return said

    _say(_with_auth(add, data_dir))


@app.command("list")
def list_command(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the accounts, and where each is logged in."""

    async def listed(auth: AuthServices, _settings: Settings) -> list[dict[str, Any]]:
        return [
            {
                "name": account.name,
                "display": account.shown,
                "role": account.role,
                "disabled": account.disabled,
                "since": datetime.fromtimestamp(account.created_at, UTC).isoformat("T", "seconds"),
                "logins": len(await auth.sessions.of(account.id)),
            }
            for account in await auth.users.list()
        ]

    rows = _with_auth(listed, data_dir, as_json=as_json)
    if as_json:
        print_json({"accounts": rows})
        return
    if not rows:
        _say("There are no accounts. Make the first: xoe user add NAME --role operator")
    for row in rows:
        off = ", switched off" if row["disabled"] else ""
        display = f" ({row['display']})" if row["display"] != row["name"] else ""
        typer.echo(
            f"{row['name']}{display}: {row['role']}{off}, since {row['since'][:10]}, "
            f"logged in {row['logins']} time{'' if row['logins'] == 1 else 's'}"
        )


@app.command("remove")
def remove_command(
    name: Name,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Delete the chats and documents too, for good.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Remove an account; its logins end at once. Says what of it remains."""

    async def remove(auth: AuthServices, settings: Settings) -> str:
        from xoe.chats.finishing import delete_owned_data
        from xoe.chats.owned import owned_data_of

        account = await auth.users.remove(name, with_data=delete_data)
        server = _tell(settings)
        left = await owned_data_of(account.id, auth.db, settings)
        if not delete_data:
            if not left:
                return f"{account.name} is removed. Nothing of theirs remains."
            return (
                f"{account.name} is removed. {left} of theirs remain; delete them with: "
                f"xoe user forget {account.name}"
            )
        if server is None:
            await delete_owned_data(account.id, auth.db, settings)
        else:
            _ask(server, "/accounts/forget", {"account": account.name})
        return f"{account.name} is removed, and {left} deleted."

    _say(_with_auth(remove, data_dir))


@app.command("forget")
def forget_command(name: Name, data_dir: DataDir = None) -> None:
    """Delete for good what an account that was removed has left behind."""

    async def forget(auth: AuthServices, settings: Settings) -> str:
        from xoe.auth.users import normalised
        from xoe.chats.finishing import delete_owned_data
        from xoe.chats.owned import owned_data_of

        account_name = normalised(name)
        if await auth.users.find(account_name) is not None:
            raise AccountError(
                f"The account {account_name} is there still. Remove it with what belongs to it: "
                f"xoe user remove {account_name} --delete-data"
            )
        owner = f"user:{account_name}"
        left = await owned_data_of(owner, auth.db, settings)
        server = running.find(settings.data_dir)
        if server is None:
            await delete_owned_data(owner, auth.db, settings)
        else:
            _ask(server, "/accounts/forget", {"account": account_name})
        return f"{left} deleted."

    _say(_with_auth(forget, data_dir))


@app.command("passwd")
def passwd_command(name: Name, password_stdin: FromStdin = False, data_dir: DataDir = None) -> None:
    """Give an account a new password; its logins and tokens end."""

    async def passwd(auth: AuthServices, settings: Settings) -> str:
        await auth.users.get(name)  # before anything is typed
        account = await auth.users.set_password(name, _new_password(password_stdin))
        _tell(settings)
        return f"The password of {account.name} is changed, and all their logins ended."

    _say(_with_auth(passwd, data_dir))


@app.command("role")
def role_command(
    name: Name,
    role: Annotated[str, typer.Argument(help="operator, user or guest")],
    data_dir: DataDir = None,
) -> None:
    """Change what an account may; its logins and tokens end."""

    async def change(auth: AuthServices, settings: Settings) -> str:
        account = await auth.users.set_role(name, cast("Role", role))
        _tell(settings)
        return f"{account.name} is {_a(account.role)} now, and has to log in again."

    _say(_with_auth(change, data_dir))


@app.command("disable")
def disable_command(name: Name, data_dir: DataDir = None) -> None:
    """Switch an account off: its logins and tokens end, what is theirs stays."""

    async def disable(auth: AuthServices, settings: Settings) -> str:
        account = await auth.users.set_disabled(name, True)
        _tell(settings)
        return f"{account.name} is switched off. On again: xoe user enable {account.name}"

    _say(_with_auth(disable, data_dir))


@app.command("enable")
def enable_command(name: Name, data_dir: DataDir = None) -> None:
    """Switch an account on again."""

    async def enable(auth: AuthServices, _settings: Settings) -> str:
        return f"{(await auth.users.set_disabled(name, False)).name} may log in again."

    _say(_with_auth(enable, data_dir))


@app.command("logout")
def logout_command(name: Name, data_dir: DataDir = None) -> None:
    """End all logins and tokens of an account."""

    async def logout(auth: AuthServices, settings: Settings) -> str:
        account = await auth.users.get(name)
        await auth.sessions.revoke_all(account.id)
        _tell(settings)
        return f"{account.name} is logged out everywhere."

    _say(_with_auth(logout, data_dir))


@app.command("token")
def token_command(
    name: Name,
    days: Annotated[int, typer.Option(min=1, max=_MAX_DAYS, help="How long it holds.")] = 90,
    label: Annotated[str, typer.Option(help="What it is for, to show.")] = "script",
    data_dir: DataDir = None,
) -> None:
    """Print a token with which a program may ask as this account.

    It is sent as ``Authorization: Bearer TOKEN``, and printed this once. A new password or role
    ends it, and so does ``xoe user logout``.
    """

    async def make(auth: AuthServices, _settings: Settings) -> str:
        from xoe.auth.identity import PROGRAM

        account = await auth.users.get(name)
        if account.disabled:
            raise AccountError(f"{account.name} is switched off: xoe user enable {account.name}")
        shown = " ".join("".join(c for c in label if c.isprintable()).split())[:40]
        return await auth.sessions.create(
            account.identity(), ttl_s=days * _DAY_S, address=f"{PROGRAM}{shown or 'script'}"
        )

    typer.echo(_with_auth(make, data_dir))


def _with_auth(
    act: Callable[[AuthServices, Settings], Awaitable[T]],
    data_dir: Path | None,
    *,
    as_json: bool = False,
) -> T:
    """Open the database, do something, and close it."""

    async def run(settings: Settings) -> T:
        from xoe.auth.services import AuthServices

        auth = await AuthServices.open(settings)
        try:
            return await act(auth, settings)
        finally:
            await auth.aclose()

    with reported(as_json):
        return asyncio.run(run(settings_for(data_dir, quiet=True)))
    raise AssertionError  # pragma: no cover - what is reported ends the program


def _new_password(from_stdin: bool) -> str:
    """Read a password, without showing it; never from the arguments, which others can see."""
    if from_stdin:
        line = sys.stdin.readline(2000)
        if not line:
            raise AccountError("There was no password on the standard input.")
        return line.rstrip("\r\n")
    if not sys.stdin.isatty():
        raise AccountError("There is no terminal to ask for the password: use --password-stdin.")
    return str(
        typer.prompt("Password", hide_input=True, confirmation_prompt="The same again", err=True)
    )


def _tell(settings: Settings) -> running.RunningServer | None:
    """Tell the running server, if there is one, to look at the logins anew; return it."""
    server = running.find(settings.data_dir)
    if server is not None:
        try:
            _ask(server, "/accounts/changed", {})
        except XoeError as exc:  # it looks by itself every two seconds
            errors.print(f"{exc} What was changed holds in a few seconds.", markup=False)
    return server


def _ask(server: running.RunningServer, path: str, body: dict[str, str]) -> None:
    try:
        with server.client(_ASK_S) as client:
            answer = client.post(path, json=body)
    except httpx.HTTPError as exc:
        raise XoeError(f"The running server at {server.where} does not answer.") from exc
    if answer.status_code != 200:
        detail = answer.json().get("detail", "") if "json" in _kind(answer) else ""
        raise XoeError(f"The running server refused: {detail or answer.status_code}")


def _kind(answer: httpx.Response) -> str:
    return str(answer.headers.get("content-type", ""))


def _a(role: str) -> str:
    return f"an {role}" if role[0] in "aeio" else f"a {role}"


def _say(sentence: str) -> None:
    errors.print(sentence, markup=False, soft_wrap=True)
