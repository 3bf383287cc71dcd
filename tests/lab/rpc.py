"""A client of the service's JSON-RPC over WebSocket: calls, and the notifications that came meanwhile."""
import asyncio
import itertools
import json
import threading
from typing import Any, Callable

import websockets

from wait import DEADLINE


class RpcError(Exception):
    """The error member of a reply."""

    def __init__(self, error: dict):
        super().__init__(json.dumps(error))
        self.code, self.data = error["code"], error.get("data") or {}


class Rpc:
    """One socket, on an event loop of its own thread; calls block."""

    def __init__(self, url: str):
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future] = {}
        self._news = threading.Condition()
        self.notifications: list[tuple[str, dict]] = []
        self.close_code: int | None = None
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._socket = self._run(self._connect(url))
        asyncio.run_coroutine_threadsafe(self._read(), self._loop)

    def call(self, method: str, **params: Any) -> Any:
        """The result of a method; RpcError when it is refused."""
        return self._run(self._call(method, params))

    def mark(self) -> int:
        """The place in `notifications` where those that come from now on begin."""
        with self._news:
            return len(self.notifications)

    def expect(self, method: str, since: int, deadline: float = DEADLINE, **members: Any) -> dict:
        """Waits for a notification, counted from a `mark`, whose parameters have the given members."""

        def found() -> dict | None:
            for name, params in self.notifications[since:]:
                if name == method and all(params.get(key) == value for key, value in members.items()):
                    return params
            return None

        with self._news:
            if not self._news.wait_for(found, timeout=deadline):
                raise AssertionError(
                    f"no {method} with {members} within {deadline:.0f} s; came: {self.notifications[since:]}")
            return found() or {}

    def wait_closed(self, deadline: float = DEADLINE) -> int:
        """Waits until the server has closed the socket and returns the close code."""
        with self._news:
            assert self._news.wait_for(lambda: self.close_code is not None, timeout=deadline), "socket stays open"
            return self.close_code or 0

    def close(self) -> None:
        """Closes the socket and ends the thread."""
        self._run(self._socket.close())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(DEADLINE)

    @staticmethod
    async def _connect(url: str) -> websockets.WebSocketClientProtocol:
        return await websockets.connect(url, open_timeout=DEADLINE, ping_interval=None)

    async def _call(self, method: str, params: dict) -> Any:
        number = next(self._ids)
        reply = self._replies[number] = self._loop.create_future()
        await self._socket.send(json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}))
        message = await reply
        if "error" in message:
            raise RpcError(message["error"])
        return message["result"]

    async def _read(self) -> None:
        try:
            async for text in self._socket:
                message = json.loads(text)
                if "method" in message:
                    self._note(lambda: self.notifications.append((message["method"], message.get("params") or {})))
                else:
                    self._replies.pop(message["id"]).set_result(message)
        except websockets.ConnectionClosed:
            pass
        self._note(lambda: setattr(self, "close_code", self._socket.close_code))
        for reply in self._replies.values():
            reply.set_exception(ConnectionError(f"socket closed with {self._socket.close_code}"))

    def _note(self, change: Callable[[], Any]) -> None:
        with self._news:
            change()
            self._news.notify_all()
