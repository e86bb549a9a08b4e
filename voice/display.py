"""What the page shows of a call, sent where it changes."""

from __future__ import annotations

from typing import Final

from voice.engines import VoiceEngines
from voice.ports import CallPage, CallState, CallView

_SIMPLER_VOICE: Final = "A simpler voice speaks, as the usual one fails."
_SIMPLER_EARS: Final = "A smaller model listens, as the usual one fails."
_DEGRADED: Final = (_SIMPLER_VOICE, _SIMPLER_EARS)


class Display:
    """The view of one call."""

    def __init__(self, page: CallPage, engines: VoiceEngines) -> None:
        """Nothing is shown yet."""
        self._page = page
        self._engines = engines
        self._view = CallView(CallState.LISTENING)

    async def begin(self) -> None:
        """Show the call for the first time."""
        await self._page.show(self._view)

    async def show(
        self,
        *,
        state: CallState | None = None,
        level: float | None = None,
        partial: str | None = None,
        note: str | None = None,
    ) -> None:
        """Show what is given; the rest stays."""
        view = CallView(
            state=self._view.state if state is None else state,
            level=self._view.level if level is None else round(level, 2),
            partial=self._view.partial if partial is None else partial,
            note=self._view.note if note is None else note,
        )
        if view != self._view:
            self._view = view
            await self._page.show(view)

    def note(self) -> str:
        """Return the line that is shown, unless another engine serves by now."""
        shown = self._view.note
        return shown if shown and shown not in _DEGRADED else self.degraded()

    def degraded(self) -> str:
        """Return which engine is a spare one; empty where none is."""
        if self._engines.voice.serving == "spare":
            return _SIMPLER_VOICE
        return _SIMPLER_EARS if self._engines.transcriber.serving == "spare" else ""
