"""A chat endpoint on this machine, with faults: what it is asked is counted, what it answers is up to the test."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Body = dict[str, Any]


@dataclass
class Fault:
    """Replaces an answer: a status, headers and bytes, after `seconds`; byte by byte with `drip`; `times` over."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes = b"{}"
    seconds: float = 0.0
    drip: float = 0.0
    times: int = 1


@dataclass
class Server:
    """A running endpoint. `faults` come first, one a request; `asked` has the body of every request.

    `written` counts the bytes of response bodies that the client has taken, or that wait in the sockets between.
    """

    url: str
    model: Callable[[Body], str]
    faults: list[Fault] = field(default_factory=list)
    asked: list[Body] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    written: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    def environment(self) -> dict[str, str]:
        return {"INVERSESCOPE_BASE_URL": self.url, "INVERSESCOPE_MODEL": "fake"}


@contextmanager
def serving(model: Callable[[Body], str]) -> Iterator[Server]:
    """A server whose replies are what `model` makes of a request's body."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                server.asked.append(body)
                server.keys.append(self.headers.get("Authorization"))
                fault = server.faults.pop(0) if server.faults else None
            if fault is None:
                usage = {"prompt_tokens": 100, "completion_tokens": 10}
                said = {"choices": [{"message": {"role": "assistant", "content": server.model(body)}}], "usage": usage}
                fault = Fault(content=json.dumps(said).encode())
            server.stopping.wait(fault.seconds)
            self.send_response(fault.status)
            for name, value in {"Content-Length": str(len(fault.content) * fault.times), **fault.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            for _ in range(fault.times):
                for part in [bytes([byte]) for byte in fault.content] if fault.drip else [fault.content]:
                    self.wfile.write(part)
                    with lock:
                        server.written += len(part)
                    server.stopping.wait(fault.drip)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True  # the client gave up waiting

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    server = Server(f"http://127.0.0.1:{listening.server_port}/v1", model)
    thread = threading.Thread(target=listening.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.stopping.set()
        listening.shutdown()
        listening.server_close()
        thread.join()


def question_in(body: Body) -> str | None:
    """The question that a judge is asked; None of a request for hypotheses."""
    found = re.search(r"^The question: (.*)$", body["messages"][0]["content"], re.M)
    return json.loads(found[1]) if found else None


def data_in(body: Body) -> dict[str, Any]:
    """The texts of a request."""
    return json.loads(body["messages"][1]["content"])


@dataclass
class Model:
    """A language model that proposes these hypotheses, and answers each question by a function of the text.

    It understands the questions of known answer and negated ones, so it is a good judge.
    """

    hypotheses: list[Any]
    truths: dict[str, Callable[[str], str]] = field(default_factory=dict)

    def __call__(self, body: Body) -> str:
        question = question_in(body)
        if question is None:
            return json.dumps({"hypotheses": [] if "refused" in data_in(body) else self.hypotheses})
        texts = data_in(body)["texts"]
        return json.dumps({"answers": {number: self.answer(question, text) for number, text in texts.items()}})

    def answer(self, question: str, text: str) -> str:
        if question.startswith(negation := 'Is "no" the right answer to this question: '):
            said = self.answer(question.removeprefix(negation), text)
            return {"yes": "no", "no": "yes"}.get(said, said)
        if word := re.match(r'Does the word "(\w+)" occur', question):
            return "yes" if word[1] in re.findall(r"\w+", text.casefold()) else "no"
        return self.truths[question](text)
