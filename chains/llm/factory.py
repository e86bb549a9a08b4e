"""Which chat model the settings ask for."""

from __future__ import annotations

from langchain_core.language_models.chat_models import BaseChatModel
from pydantic import SecretStr

from chains.llm.chat_model import LocalChatModel
from chains.llm.engine import LlmEngine
from core.errors import SettingsError
from core.settings import Settings

CONNECT_TIMEOUT_S = 5.0


def build_chat_model(settings: Settings, engine: LlmEngine | None) -> BaseChatModel:
    """Return the model on ``settings.llm_base_url`` if that is set, else the local ``engine``'s.

    Both take ``session_id``, ``profile`` and ``max_tokens`` through ``bind``.
    """
    if settings.llm_base_url is None:
        if engine is None:
            raise SettingsError("Without llm_base_url a local engine is needed.")
        return LocalChatModel(engine=engine, max_tokens=settings.llm_max_tokens)
    # OpenAI's client takes a second to import, which a local model need not wait for.
    import httpx

    from chains.llm.remote import RemoteChatModel

    return RemoteChatModel(
        base_url=settings.llm_base_url,
        # Local servers want no key, but the client will not start without one.
        api_key=settings.llm_api_key or SecretStr("not-needed"),
        model=settings.llm_model or "default",
        max_completion_tokens=settings.llm_max_tokens,
        temperature=0.0,
        timeout=httpx.Timeout(settings.llm_remote_timeout_s, connect=CONNECT_TIMEOUT_S),
        max_retries=0,  # the chain tries again, within its budget
        stream_usage=True,
        use_responses_api=False,  # only OpenAI's own service has it
    )
