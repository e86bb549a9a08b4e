"""``xoe share``: a public link to the running app, and who is on by it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console

from core.errors import ShareError
from xoe import running
from xoe.cli.common import AsJson, DataDir, errors, print_json, reported, settings_for
from xoe.cli.share_show import copy_to_clipboard, print_link, print_state
from xoe.share.tunnels import SERVICES

START_TIMEOUT_S = 90.0
ASK_TIMEOUT_S = 15.0

console = Console(highlight=False)


def share_command(
    target: Annotated[
        str | None,
        typer.Argument(
            metavar="[TARGET|list|end]",
            help="A host that you reach by SSH: [user@]host[:port]. Or: list, end.",
            show_default=False,
        ),
    ] = None,
    guest: Annotated[
        str | None,
        typer.Argument(help="After end: a guest's number, or all.", show_default=False),
    ] = None,
    service: Annotated[
        str, typer.Option(help=f"What carries the tunnel: {', '.join(SERVICES)}.")
    ] = "ssh",
    scope: Annotated[str, typer.Option(help="What guests may do: ask, or upload too.")] = "ask",
    hours: Annotated[float, typer.Option(help="How long the link lets anybody in.")] = 2.0,
    guests: Annotated[int, typer.Option(help="How many guests it lets in.")] = 5,
    tls: Annotated[
        bool, typer.Option("--tls", help="Serve https by oneself, through the tunnel.")
    ] = False,
    cert: Annotated[
        Path | None, typer.Option(help="With --tls: a certificate of your own (PEM).")
    ] = None,
    key: Annotated[Path | None, typer.Option(help="The certificate's key (PEM).")] = None,
    public_url: Annotated[
        str | None, typer.Option(help="The address that a web server at the far end has.")
    ] = None,
    remote_port: Annotated[int, typer.Option(help="The far end's port; 0 lets it choose.")] = 0,
    identity: Annotated[
        Path | None, typer.Option("--identity", "-i", help="The key to log in there with.")
    ] = None,
    accept_key: Annotated[
        str | None, typer.Option(help="Accept the far end's new key, by its fingerprint.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Print the link and leave; xoe share end ends it.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Share the running app by a link that protects itself; show who is on, and send them out.

    Keys while it runs: a guest's number sends that guest out, q ends it for all.
    """
    with reported(as_json):
        settings = settings_for(data_dir, quiet=True)
        server = running.find(settings.data_dir)
        if server is None:
            raise ShareError(
                "There is no server to share: start it in another terminal with xoe serve, or "
                "name its folder with --data-dir."
            )
        if target == "list" and guest is None:
            _list(server, as_json)
        elif target == "end":
            _end(server, guest, as_json)
        elif guest is not None:
            raise ShareError("After the host comes nothing. Ending a share is: xoe share end all")
        else:
            body = {
                "target": target,
                "service": service,
                "scope": scope,
                "hours": hours,
                "guests": guests,
                "tls": tls,
                "certificate": _path(cert),
                "key": _path(key),
                "public_url": public_url,
                "remote_port": remote_port,
                "identity": _path(identity),
                "accept_key": accept_key,
                "agent": _agent(),
            }
            _share(server, body, detach=detach, as_json=as_json)


def _share(
    server: running.RunningServer, body: dict[str, Any], *, detach: bool, as_json: bool
) -> None:
    from xoe.cli.share_watch import watch

    state = _start(server, body, may_ask=not as_json)
    if as_json:
        print_json(state)
        return
    print_link(console, state)
    copied = copy_to_clipboard(state["link"])
    console.print("The link was copied." if copied else "Copy the link from here.", style="dim")
    if detach:
        console.print("It goes on without this terminal. xoe share end all ends it.", style="dim")
        return
    watch(server, console)


def _start(server: running.RunningServer, body: dict[str, Any], *, may_ask: bool) -> dict[str, Any]:
    answer = _ask(server, "POST", "/share/start", body, timeout_s=START_TIMEOUT_S)
    fingerprint = _fields(answer).get("fingerprint")
    if answer.status_code == 409 and fingerprint and may_ask and sys.stdin.isatty():
        sentence = str(_fields(answer).get("detail", "")).partition(" Compare it")[0]
        errors.print(sentence, markup=False, soft_wrap=True)
        errors.print("Compare it with what the server's owner tells you.")
        if typer.prompt("Accept this key? Type yes", err=True, default="no") != "yes":
            raise ShareError("Nothing was shared.")
        accepted = {**body, "accept_key": str(fingerprint)}
        answer = _ask(server, "POST", "/share/start", accepted, timeout_s=START_TIMEOUT_S)
    return _checked(answer)


def _list(server: running.RunningServer, as_json: bool) -> None:
    state = _checked(_ask(server, "GET", "/share/state"))
    if as_json:
        print_json(state)
    else:
        print_state(console, state)


def _end(server: running.RunningServer, guest: str | None, as_json: bool) -> None:
    if guest is None:
        raise ShareError("Whom? xoe share end 2 sends guest 2 out, xoe share end all ends it.")
    state = _checked(_ask(server, "POST", "/share/end", {} if guest == "all" else {"guest": guest}))
    if as_json:
        print_json(state)
    elif guest == "all":
        console.print("Nothing is shared any more, and what was kept of the guests is deleted.")
    else:
        console.print(f"Guest {guest} is out.", markup=False)


def _ask(
    server: running.RunningServer,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    timeout_s: float = ASK_TIMEOUT_S,
) -> httpx.Response:
    try:
        with server.client(timeout_s) as client:
            return client.request(method, path, json=body)
    except httpx.TimeoutException as exc:
        raise ShareError("The server does not answer. xoe status shows how it is.") from exc
    except httpx.HTTPError as exc:
        raise ShareError("The server does not answer; it may be stopping just now.") from exc


def _fields(answer: httpx.Response) -> dict[str, Any]:
    try:
        fields = answer.json()
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}


def _checked(answer: httpx.Response) -> dict[str, Any]:
    """Return what the server says, or raise its sentence."""
    fields = _fields(answer)
    if answer.status_code == 200:
        return fields
    sentence = fields.get("detail") or f"The server answered with {answer.status_code}."
    raise ShareError(str(sentence))


def _path(given: Path | None) -> str | None:
    return None if given is None else str(given.expanduser().absolute())


def _agent() -> str | None:
    given = os.environ.get("SSH_AUTH_SOCK")
    return given if given and Path(given).is_socket() else None
