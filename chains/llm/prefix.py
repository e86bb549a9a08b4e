"""What the model has read before, kept so that it need not be read again."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Tokens = npt.NDArray[np.int32]


def as_tokens(tokens: Sequence[int]) -> Tokens:
    """Return ``tokens`` as an array that ``common_prefix`` takes."""
    return np.asarray(tokens, dtype=np.int32)


def common_prefix(left: Tokens, right: Tokens) -> int:
    """Return how many tokens at the beginning are the same in both."""
    size = min(len(left), len(right))
    differ = np.flatnonzero(left[:size] != right[:size])
    return int(differ[0]) if len(differ) else size


@dataclass(frozen=True)
class SavedState:
    """The model's memory of ``tokens``, as llama.cpp wrote it."""

    tokens: Tokens
    data: npt.NDArray[np.uint8]
    owner: str = ""
    pinned: bool = False

    @property
    def size_bytes(self) -> int:
        """How much memory it takes."""
        return self.data.nbytes + self.tokens.nbytes


class PrefixCache:
    """Saved states, the least recently used of them dropped when they take too many bytes.

    Of whoever has most, so that many questions of one do not push out the chats of all others.

    Not by session: whatever begins with the same tokens may go on from the same state, and a
    state that another one extends is superseded by it.
    """

    def __init__(self, limit_bytes: int) -> None:
        """``limit_bytes``: for all states together."""
        self._limit_bytes = limit_bytes
        self._states: OrderedDict[int, SavedState] = OrderedDict()
        self._number = 0

    @property
    def size_bytes(self) -> int:
        """How much memory the saved states take; never over the limit."""
        return sum(state.size_bytes for state in self._states.values())

    def __len__(self) -> int:
        return len(self._states)

    def best(self, tokens: Tokens) -> tuple[SavedState | None, int]:
        """Return the state that shares the longest beginning with ``tokens``, and its length."""
        longest, chosen = 0, None
        for key, state in self._states.items():
            length = common_prefix(state.tokens, tokens)
            if length > longest:
                longest, chosen = length, key
        if chosen is None:
            return None, 0
        self._states.move_to_end(chosen)
        return self._states[chosen], longest

    def covers(self, tokens: Tokens) -> bool:
        """Tell whether a saved state begins with all of ``tokens``."""
        return any(
            common_prefix(state.tokens, tokens) == len(tokens) for state in self._states.values()
        )

    def put(
        self,
        tokens: Tokens,
        size_bytes: int,
        read: Callable[[], npt.NDArray[np.uint8]],
        *,
        owner: str = "",
        pinned: bool = False,
    ) -> None:
        """Save a state of ``size_bytes``, which ``read`` copies once there is room for it.

        Room is made by whoever has most in it, ``owner`` with this one included; pinned states go
        last. A state that is larger than the whole cache is not read at all.
        """
        for key, state in list(self._states.items()):
            extended = common_prefix(state.tokens, tokens) == len(state.tokens)
            if extended and (not state.pinned or pinned):
                del self._states[key]
        needed = size_bytes + tokens.nbytes
        if needed > self._limit_bytes:
            return
        while self.size_bytes + needed > self._limit_bytes:
            del self._states[self._to_leave(owner, needed)]
        self._number += 1
        self._states[self._number] = SavedState(tokens, read(), owner, pinned)

    def _to_leave(self, owner: str, needed: int) -> int:
        """Return the least recently used state of whoever has most, with what comes."""
        loose = {key: state for key, state in self._states.items() if not state.pinned}
        if not loose:
            return next(iter(self._states))
        held = Counter({owner: needed})
        for state in loose.values():
            held[state.owner] += state.size_bytes
        return max(loose, key=lambda key: held[loose[key].owner])  # the first of equals
