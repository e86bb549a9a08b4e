"""What sources are read from: a Git repository, and a table of a database."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import git


class Repository:
    """A Git repository."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.repo = git.Repo.init(path, initial_branch="main")
        with self.repo.config_writer() as config:
            config.set_value("user", "name", "Somebody").set_value("user", "email", "a@localhost")

    def commit(self, **files: str | None) -> None:
        """Write files, or remove those that are ``None``; ``guide__ferry_md`` is a path."""
        for given, text in files.items():
            path = self.path / given.replace("__", "/").replace("_", ".")
            if text is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        self.repo.git.add(all=True)
        self.repo.index.commit("A change")


def table(path: Path, *statements: str) -> str:
    """Change a database of members; return its address."""
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE IF NOT EXISTS members(place INTEGER, name TEXT, boat TEXT)")
        for statement in statements:
            db.execute(statement)
    db.close()
    return f"sqlite:///{path}"
