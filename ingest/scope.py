"""Which documents a question may find: whose, and of the shared ones those in which folders."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scope:
    """Whose documents may be found."""

    whole: tuple[str, ...]
    """Owners, all of whose documents may be."""
    part_of: str = ""
    """Another owner, of whose documents …"""
    folders: tuple[str, ...] = ()
    """… only those in these folders at the top may be; empty text: those in none."""

    @classmethod
    def of(cls, *owners: str) -> Scope:
        """Return the scope of all that ``owners`` have."""
        return cls(owners)

    @property
    def owners(self) -> tuple[str, ...]:
        """Everyone of whom something may be found."""
        return (*self.whole, self.part_of) if self.part_of else self.whole
