"""The answers that somebody has given a thumb, with what was asked and cited."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, func, or_, select

from xoe.auth.identity import SESSION, USER, VISITOR
from xoe.chats.text import citations_of
from xoe.chats.types import StoredCitation
from xoe.db import Database, tables


@dataclass(frozen=True)
class JudgedAnswer:
    """An answer, and what its reader thought of it."""

    owner: str
    question: str
    answer: str
    """Markdown with ``[n]`` where a citation supports it."""
    citations: tuple[StoredCitation, ...]
    good: bool
    reason: str


async def judged_answers(db: Database) -> tuple[list[JudgedAnswer], int]:
    """Return the judged answers of operators, the oldest first, and how many others there are.

    Operators are accounts of that role, and the browsers of this computer from before there were
    any. What users and guests say, an operator does not see. Raises ``StoreError``.
    """
    threads, feedback = tables.threads, tables.feedback
    answers, questions = tables.messages.alias("answers"), tables.messages.alias("questions")
    cards = and_(
        tables.elements.c.message == answers.c.number, tables.elements.c.kind == "citations"
    )
    same_turn = and_(
        questions.c.thread == answers.c.thread,
        questions.c.turn == answers.c.turn,
        questions.c.role == "user",
    )
    operators = select(USER + tables.users.c.name).where(tables.users.c.role == "operator")
    may_be_seen = or_(
        threads.c.owner.startswith(VISITOR),
        threads.c.owner.startswith(SESSION),
        threads.c.owner.in_(operators),
    )
    found = (
        select(
            threads.c.owner,
            questions.c.text.label("question"),
            answers.c.text.label("answer"),
            tables.elements.c.content,
            feedback.c.good,
            feedback.c.reason,
        )
        .select_from(feedback)
        .join(answers, answers.c.number == feedback.c.message)
        .join(questions, same_turn)
        .join(threads, threads.c.number == answers.c.thread)
        .outerjoin(tables.elements, cards)
        .where(may_be_seen)
        .order_by(feedback.c.at, answers.c.number)
    )
    async with db.read() as connection:
        rows = (await connection.execute(found)).all()
        all_of_them = select(func.count()).select_from(feedback)
        total = int((await connection.execute(all_of_them)).scalar_one())
    seen = [
        JudgedAnswer(
            owner=row.owner,
            question=row.question,
            answer=row.answer,
            citations=citations_of(row.content),
            good=row.good,
            reason=row.reason,
        )
        for row in rows
    ]
    return seen, total - len(seen)
