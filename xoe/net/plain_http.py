"""What is said to somebody on the network who comes without TLS: where to go, and what to install.

Three things are served: the authority's certificate, a page that says how to install it, and for
everything else the way to the secure address. None of them asks who somebody is.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

CERTIFICATE_PATH: Final = "/ca.crt"
INSTALL_PATH: Final = "/install"
_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass
class PlainHttp:
    """The ASGI app of the plain port. Its fields may change while it serves."""

    names: frozenset[str]
    """By which it may be addressed, in lower case and without a port."""
    secure_port: int
    certificate_pem: bytes
    fingerprint: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; refuse a websocket."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": "Use https."})
        elif scope["type"] == "http":
            response = self._response(scope)
            response.headers["Cache-Control"] = "no-store"
            await response(scope, receive, send)

    def _response(self, scope: Scope) -> Response:
        name = _hostname(Headers(scope=scope).get("host", ""))
        if name not in self.names:
            return PlainTextResponse("This is not a name of this server.\n", status_code=403)
        secure = f"https://{f'[{name}]' if ':' in name else name}:{self.secure_port}"
        if scope["method"] not in ("GET", "HEAD"):
            said = f"Nothing is taken without encryption. Use {secure} instead.\n"
            return PlainTextResponse(said, status_code=403)
        path = scope["path"]
        if path == CERTIFICATE_PATH:
            return Response(
                self.certificate_pem,
                media_type="application/x-x509-ca-cert",
                headers={"Content-Disposition": 'attachment; filename="xoe-novai-ca.crt"'},
            )
        if path == INSTALL_PATH:
            page = _PAGE.format(fingerprint=escape(self.fingerprint), secure=escape(secure))
            return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})
        # A path that begins with two slashes would name another host.
        asked = "/" + quote(path.lstrip("/"), safe="/:@!$&'()*+,;=~-._")
        if query := scope.get("query_string", b"").decode("latin-1"):
            asked += f"?{quote(query, safe='=&%+/:@!$,;~-._?()*')}"
        return RedirectResponse(secure + asked, status_code=307)


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>Set up this device · Xoe-NovAi</title>
<style>
:root {{ color-scheme: light dark; --paper: #fbfaf7; --ink: #161f22; --soft: #4b585c;
  --line: #c9cdcb; --accent: #0e5f5a; --on: #fff; }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #13191b; --ink: #e7ecec; --soft: #a9b6b8;
  --line: #3d494c; --accent: #7fd3c6; --on: #13191b; }} }}
body {{ margin: 0 auto; max-width: 38rem; padding: 1.5rem 1rem 3rem; background: var(--paper);
  color: var(--ink); font: 17px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }}
h1 {{ font-size: 1.5rem; line-height: 1.25; }} h2 {{ font-size: 1.1rem; margin-top: 2rem; }}
a {{ color: var(--accent); }} .button {{ display: inline-block; padding: .7rem 1.1rem;
  border-radius: 8px; background: var(--accent); color: var(--on); text-decoration: none;
  font-weight: 600; }}
code {{ overflow-wrap: anywhere; font: .85em/1.7 ui-monospace, Menlo, Consolas, monospace; }}
details {{ border-top: 1px solid var(--line); padding: .6rem 0; }}
summary {{ font-weight: 600; cursor: pointer; }} .soft {{ color: var(--soft); }}
:focus-visible {{ outline: 3px solid var(--accent); outline-offset: 2px; }}
</style>
</head>
<body>
<main>
<h1>Set up this device</h1>
<p>Browsers give the microphone only to pages whose certificate they trust. Xoe-NovAi made one on
its own computer; this device has to be told once that it is yours.</p>
<h2>1. Get the certificate</h2>
<p><a class="button" href="/ca.crt">Download the certificate</a></p>
<p class="soft">Before you trust it, compare its SHA-256 fingerprint, which your device shows, with
the one in the terminal of the computer that runs Xoe-NovAi:<br><code>{fingerprint}</code></p>
<h2>2. Install it</h2>
<details><summary>Android</summary><ol>
<li>Open Settings and search for “CA certificate” (Security &amp; privacy → More security settings →
Encryption &amp; credentials → Install a certificate → CA certificate).</li>
<li>Tap “Install anyway” and choose <em>xoe-novai-ca.crt</em> in Downloads.</li>
<li>Use Chrome. In Firefox, open Settings → About Firefox, tap the logo seven times, go back, and
switch on “Use third party CA certificates” under Secret Settings.</li></ol></details>
<details><summary>iPhone and iPad</summary><ol>
<li>Open this page in Safari, download the certificate and allow the profile.</li>
<li>Settings → Profile Downloaded → Install.</li>
<li>Settings → General → About → Certificate Trust Settings: switch Xoe-NovAi on.</li>
</ol></details>
<details><summary>Windows</summary><ol>
<li>Open the file → Install Certificate → Current User → Place all certificates in the following
store → Trusted Root Certification Authorities.</li>
<li>Or in a terminal: <code>certutil -user -addstore Root xoe-novai-ca.crt</code></li>
</ol></details>
<details><summary>macOS</summary><ol>
<li>Open the file; it goes into the Keychain (login).</li>
<li>In Keychain Access open “Xoe-NovAi on …” → Trust → “When using this certificate: Always Trust”.
</li></ol></details>
<details><summary>Linux, and Firefox everywhere</summary><ol>
<li>Firefox: Settings → Privacy &amp; Security → View Certificates → Authorities → Import, and
trust it to identify websites.</li>
<li>Chromium: Settings → Privacy and security → Security → Manage certificates → import it as an
authority; or <code>certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n Xoe-NovAi
-i xoe-novai-ca.crt</code>
</li></ol></details>
<h2>3. Open Xoe-NovAi</h2>
<p><a href="{secure}">{secure}</a></p>
<p class="soft">The certificate can vouch for addresses of private networks and names that end in
.local or .lan only, never for sites on the internet. To take it back, remove it where you
installed it.</p>
</main>
</body>
</html>
"""
