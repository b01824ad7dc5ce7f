"""Asking agents, over HTTP: the form of robots' authors (calls.md section 10), and that of OpenAI."""

import asyncio
import codecs
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
import orjson

from fsharechat.http import read_up_to
from fsharechat.settings_schema import AgentSettings

if TYPE_CHECKING:
    import httpx
    import openai

MAX_EVENT_BYTES = 64 << 10
"""The largest event of a stream, and the largest answer that is an error, bytes. The library collects any size."""
MAX_REASON = 300
"""Characters of what an agent says of its failure, for the log."""

INSTALL_OPENAI = 'an agent of the kind "openai" needs a package more: pip install "fsharechat[server,openai]"'


class SaidBefore(NamedTuple):
    """What somebody has said before: the user, or else the robot."""

    by_user: bool
    text: str


class AgentError(Exception):
    """The agent does not answer as agents do; the text says how, for the log."""


class Agents:
    """The connections to agents. However many are under way, the next one need not wait for them."""

    def __init__(self, max_chars: int) -> None:
        """`max_chars`: longer answers are cut off."""
        self._max_chars = max_chars
        self._http: aiohttp.ClientSession | None = None
        self._openai_http: httpx.AsyncClient | None = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()
        if self._openai_http is not None:
            await self._openai_http.aclose()

    @staticmethod
    async def prepare(agent: AgentSettings) -> str:
        """Load what agents of this kind need, beside the loop. Return what is missing, or ""."""
        if agent.kind == "openai":
            try:
                # The packages load the rest of themselves when they are first asked, which takes a second.
                for module in ("openai.resources.chat.completions", "httpcore"):
                    await asyncio.to_thread(import_module, module)
            except ImportError:
                return INSTALL_OPENAI
        return ""

    async def pieces(
        self, agent: AgentSettings, uid: str, question: str, past: Sequence[SaidBefore]
    ) -> AsyncGenerator[str, None]:
        """Give the answer of an agent as it comes, without empty pieces. Raises AgentError."""
        match agent.kind:
            case "stream":
                answer = self._streamed(agent, uid, question)
            case "ask":
                answer = self._asked(agent, uid, question)
            case "openai":
                answer = self._completed(agent, question, past)
        left = self._max_chars
        try:
            async for piece in answer:
                # JSON may carry halves of characters, which no message can.
                if piece := piece.encode(errors="replace").decode()[:left]:
                    yield piece
                left -= len(piece)
                if not left:
                    return
        except (aiohttp.ClientError, UnicodeDecodeError) as error:
            raise AgentError(str(error) or type(error).__name__) from error
        finally:
            await answer.aclose()  # it has a connection

    # The form of robots' authors

    def _post(
        self, agent: AgentSettings, path: str, uid: str, question: str
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=None)  # who asks has a bound
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout)
        return self._http.post(
            agent.agent.rstrip("/") + path,
            json={"question": question, "userid": uid},
            headers={"Authorization": f"Bearer {agent.key}"} if agent.key else None,
            allow_redirects=False,
        )

    async def _streamed(self, agent: AgentSettings, uid: str, question: str) -> AsyncGenerator[str, None]:
        decoder = codecs.getincrementaldecoder("utf-8")()
        async with self._post(agent, "/stream", uid, question) as response:
            _check_status(response)
            async for data in response.content.iter_any():
                yield decoder.decode(data)
        yield decoder.decode(b"", final=True)

    async def _asked(self, agent: AgentSettings, uid: str, question: str) -> AsyncGenerator[str, None]:
        most = 6 * self._max_chars + MAX_EVENT_BYTES  # a character is up to six in JSON
        async with self._post(agent, "/ask", uid, question) as response:
            _check_status(response)
            body = await read_up_to(response, most)
        if body is None:
            raise AgentError(f"its answer has more than {most} bytes")
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise AgentError("its answer is not JSON") from None
        answer = said.get("answer") if isinstance(said, dict) else None
        if not isinstance(answer, str):
            raise AgentError("its answer is not an object with an answer")
        yield answer

    # The form of OpenAI

    async def _completed(
        self, agent: AgentSettings, question: str, past: Sequence[SaidBefore]
    ) -> AsyncGenerator[str, None]:
        import httpx
        import openai

        said: list[Any] = [{"role": "system", "content": agent.system}] if agent.system else []
        said += [{"role": "user" if one.by_user else "assistant", "content": one.text} for one in past]
        said.append({"role": "user", "content": question})
        client = self._openai(agent)
        try:
            answer = await client.chat.completions.create(model=agent.model, messages=said, stream=True)
            async with answer:
                async for chunk in answer:
                    if chunk.choices and (piece := chunk.choices[0].delta.content):
                        if not isinstance(piece, str):
                            raise TypeError("what it says is not a text")
                        yield piece
        except openai.APIStatusError as error:
            raise AgentError(
                f"it answers with status {error.status_code}: {_reason(agent, error)}"
            ) from error
        except (openai.OpenAIError, httpx.HTTPError) as error:
            raise AgentError(_reason(agent, error.__cause__ or error)) from error
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            # The library takes what comes as if it were what it should be.
            raise AgentError(f"its answer is none of this form: {_reason(agent, error)}") from error

    def _openai(self, agent: AgentSettings) -> "openai.AsyncOpenAI":
        import openai

        if self._openai_http is None:
            self._openai_http = _bounded_client()
        return openai.AsyncOpenAI(
            base_url=agent.agent,
            api_key=agent.key or "none",  # servers of one's own want none, but the library does
            http_client=self._openai_http,
            timeout=None,
        )


def _check_status(response: aiohttp.ClientResponse) -> None:
    if response.status != 200:
        raise AgentError(f"{response.url} answers with status {response.status}")


def _reason(agent: AgentSettings, error: BaseException) -> str:
    said = str(error) or type(error).__name__
    return (said.replace(agent.key, "…") if agent.key else said)[:MAX_REASON]


def _bounded_client() -> "httpx.AsyncClient":
    """Return a client for the library, which breaks a stream off when an event of it has no end."""
    import httpx

    class BoundedStream(httpx.AsyncByteStream):
        def __init__(self, stream: httpx.AsyncByteStream, *, events: bool) -> None:
            self._stream = stream
            self._ends = (b"\n\n", b"\r\r", b"\r\n\r\n") if events else ()

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size, last = 0, b""
            async for data in self._stream:
                end = max(((last + data).rfind(mark) for mark in self._ends), default=-1)
                size = size + len(data) if end < 0 else len(last) + len(data) - end
                if size > MAX_EVENT_BYTES:
                    raise httpx.ReadError("an event of its stream is too large")
                last = data[-3:]
                yield data

        async def aclose(self) -> None:
            await self._stream.aclose()

    class BoundedTransport(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            assert isinstance(response.stream, httpx.AsyncByteStream)
            response.stream = BoundedStream(response.stream, events=response.status_code == 200)
            if response.headers.get("Content-Encoding", "identity") != "identity":
                await response.aclose()
                raise httpx.DecodingError("its answer is compressed, which the request does not allow")
            return response

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx.AsyncClient(
        transport=BoundedTransport(limits=limits),
        headers={"Accept-Encoding": "identity"},
        follow_redirects=False,
        timeout=None,
        trust_env=False,
    )
