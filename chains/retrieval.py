"""The search as a stage of a turn: in threads of its own, guarded, tried again, limited in time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import structlog

from chains import lexical
from chains.followup import beside_previous, is_small_talk
from chains.gate import is_answerable, lacking
from chains.overview import Overviews
from chains.phrases import answer_language, is_foreign
from chains.predicates import is_of_another_act
from chains.retriever import HybridSearch, SearchResult
from chains.turn import Turn
from chains.types import Passage, Question
from chains.yes_no import is_yes_no
from core.bulkhead import Bulkhead
from core.errors import BusyError, CircuitOpenError, RetrievalError
from core.retry import RetryBudget, retried
from core.settings import Settings
from ingest.language import ENGLISH
from ingest.scope import Scope
from state.breakers import Breakers
from state.ladder import Budget
from telemetry.tracing import Tracer

log = structlog.get_logger(__name__)

SEARCH_THREADS = 4
SEARCHES_WAITING = 512
OWN_SHARE = 0.5
"""Share of a question's own words that a passage must hold, where it is found only together with
the question before."""


class Retrieval:
    """Looks for passages. Wired once; serves any number of turns at a time."""

    def __init__(
        self,
        *,
        settings: Settings,
        search: HybridSearch,
        overviews: Overviews,
        breakers: Breakers,
        tracer: Tracer,
        budget: Callable[[], Budget],
        retries: RetryBudget,
        on_outcome: Callable[[bool], None],
    ) -> None:
        """``on_outcome`` hears of each search whether it worked."""
        self._settings = settings
        self._search = search
        self._overviews = overviews
        self._breakers = breakers
        self._tracer = tracer
        self._budget = budget
        self._retries = retries
        self._on_outcome = on_outcome
        self._searches = Bulkhead("search", threads=SEARCH_THREADS, waiting=SEARCHES_WAITING)

    def close(self) -> None:
        """Stop the threads."""
        self._searches.close()

    async def check(self, question: Question) -> None:
        """Search once, for nobody. Raises ``RetrievalError`` or ``CircuitOpenError``."""
        await self._guarded(Turn(question))

    async def retrieve(self, turn: Turn) -> Turn:
        """Look for passages; small talk and questions without the library need none."""
        question = turn.question
        if turn.settled is not None:
            return turn
        if not question.use_library or is_small_talk(question.text):
            return replace(turn, grounds=False)
        try:
            with self._tracer.span("retrieval") as span:
                found = await retried(
                    lambda: self._guarded(turn),
                    budget=self._retries,
                    transient=(RetrievalError,),
                )
                span.set(passages=len(found.passages), answerable=found.answerable)
        except (RetrievalError, CircuitOpenError) as exc:
            log.warning("retrieval.failed", error=type(exc.__cause__ or exc).__name__)
            self._on_outcome(False)
            return replace(turn, grounds=False, library_lost=True)
        self._on_outcome(True)
        return found

    async def _guarded(self, turn: Turn) -> Turn:
        async with self._breakers.guard("rag-api", transient=(RetrievalError,)) as call:
            asked = time.perf_counter()

            def find() -> Turn:
                call.waited(time.perf_counter() - asked)
                return self._find(turn)

            try:
                return await self._searches.run(find, timeout_s=self._settings.retrieval_timeout_s)
            except TimeoutError as exc:
                raise RetrievalError("The search of the documents takes too long.") from exc
            except BusyError:  # counts for no circuit: the search works
                raise
            except Exception as exc:  # of SQLite, FAISS, ONNX Runtime and the store
                # Without its message: SQLite's quotes words of the question.
                log.error("retrieval.error", error=type(exc).__name__)
                raise RetrievalError("The documents cannot be searched.") from exc

    def _find(self, turn: Turn) -> Turn:
        question = turn.question
        begun = time.perf_counter()
        limit = self._budget().passages(question.passages or self._settings.retrieval_passages)
        passages: tuple[Passage, ...]
        orders: tuple[Passage, ...] = ()
        overview = (
            self._overviews.find(replace(question, text=turn.in_full), turn.exchanges)
            if turn.settled is None
            else None
        )
        if overview is not None:
            turn = replace(turn, settled=overview.settled, plan=overview.plan)
            passages, answerable = overview.passages, True
        else:
            scope = question.scope
            result = self._search.search(turn.in_full, scope, limit=limit)
            if not is_answerable(result) and not turn.follows_up:
                turn, result = self._beside_previous(turn, result, scope, limit)
            passages = result.passages
            answerable = is_answerable(result)
            if answerable and answer_language(question.text) == ENGLISH:  # they know no other
                chunks = self._search.chunk_texts(passages, scope)
                answerable = not lacking(question.text, passages, chunks)
                turn = replace(turn, strays=answerable and self._strays(turn, passages, chunks))
            foreign = is_foreign(question.text, self._search.languages(scope))
            turn = replace(turn, is_foreign=foreign, searched=turn.in_full)
            if result.orders is not None and is_answerable(result.orders):
                orders = result.orders.passages
        if passages:
            language = answer_language(question.text, otherwise=passages[0].language)
            turn = replace(turn, language=language)
        timings = replace(turn.timings, retrieval=(time.perf_counter() - begun) * 1000)
        return replace(
            turn, passages=passages, answerable=answerable, orders=orders, timings=timings
        )

    def _strays(self, turn: Turn, passages: tuple[Passage, ...], chunks: Mapping[int, str]) -> bool:
        """Tell whether the passages say another thing of what is asked of than what is asked."""
        if is_yes_no(turn.in_full):
            return False
        texts = [f"{p.title}\n\n{p.heading}\n\n{chunks.get(p.chunk_id, p.text)}" for p in passages]
        best = passages[0].best_sentence
        return is_of_another_act(turn.in_full, texts, best, self._search.alike)

    def _beside_previous(
        self, turn: Turn, result: SearchResult, scope: Scope, limit: int
    ) -> tuple[Turn, SearchResult]:
        """Search once more with the question before, where the question alone finds nothing."""
        text = beside_previous(turn.in_full, turn.said)
        if text is None:
            return turn, result
        both = self._search.search(text, scope, limit=limit)
        own = lexical.content_stems(turn.in_full)
        if not is_answerable(both):
            return turn, result
        best = both.passages[0]
        held = lexical.content_stems(f"{best.heading} {best.text}")
        if len(own & held) < OWN_SHARE * len(own):
            return turn, result
        return replace(turn, standing_alone=text), both
