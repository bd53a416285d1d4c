"""Addresses of the viewer: the page, the records of runs, and questions whose answers arrive as they are made."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from inversescope.errors import UserError
from inversescope.view import runs, static, stored
from inversescope.view.asking import Asking
from inversescope.view.jobs import Event, Job, LineName, Steps, Worker, failure
from inversescope.view.models import Models
from inversescope.view.question import Ask, Level, Question, written
from inversescope.view.report_page import REPORT_POLICY, report_page

VECTOR_FILES = (".npy", ".npz", ".safetensors", ".pt")


def make_app(
    folders: dict[str, Path], model: str, report: Callable[[str], None] = print, idle: float | None = None
) -> FastAPI:
    """The viewer of these runs; `model` is that of natural text. `report` is called with every error."""
    asking = Asking(Models(), folders, model)
    worker = Worker(asking.release, report, **({} if idle is None else {"idle": idle}))

    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        yield
        worker.close()

    app = FastAPI(title="InverseScope", docs_url=None, redoc_url=None, openapi_url=None, lifespan=life)
    app.state.asking, app.state.worker = asking, worker
    _add_errors(app, report)
    _add_records(app, folders, model)
    _add_questions(app, asking, worker)
    return app


def _add_errors(app: FastAPI, report: Callable[[str], None]) -> None:
    """Mistakes of a user as messages, in the page and in the terminal."""

    @app.exception_handler(UserError)
    async def refused(_: Request, error: UserError) -> JSONResponse:
        report(str(error))
        return JSONResponse(dict(failure(error)), 400)

    @app.exception_handler(Exception)
    async def fault(_: Request, error: Exception) -> JSONResponse:
        return JSONResponse(dict(failure(error)), 500)

    @app.exception_handler(RequestValidationError)
    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        parts = [f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()]
        problem = {"event": "error", "problem": "the question cannot be read", "given": "; ".join(parts)[:400]}
        return JSONResponse(problem, 422)


def _add_records(app: FastAPI, folders: dict[str, Path], model: str) -> None:
    """The page, and what is on the disk."""

    def folder(run: str) -> Path:
        return app.state.asking.folder(run)

    @app.get("/")
    def page() -> HTMLResponse:
        return HTMLResponse(static.shell(f"/static/{static.version()}"))

    @app.get("/static/{version}/{name}")
    def file(version: str, name: str) -> Response:
        if version != static.version() or name not in static.contents():
            return Response("There is no such file.", 404)
        kept = {"cache-control": "private, max-age=31536000, immutable"}
        return Response(static.contents()[name], headers=kept, media_type=static.kind(name))

    @app.get("/api/runs")
    def listed() -> dict[str, Any]:
        return {"runs": [runs.line(run, folder) for run, folder in folders.items()], "model": model}

    @app.get("/api/runs/{run}")
    def overview(run: str) -> dict[str, Any]:
        return runs.overview(run, folder(run))

    @app.get("/api/runs/{run}/samples")
    def samples(run: str, site: str, target: int, level: float) -> dict[str, Any]:
        return stored.samples(folder(run), site, target, level)

    @app.get("/api/runs/{run}/report")
    def report(run: str) -> HTMLResponse:
        page = report_page(folder(run))
        return HTMLResponse(page, headers={"content-security-policy": REPORT_POLICY, "x-frame-options": "SAMEORIGIN"})

    @app.get("/api/runs/{run}/chart/{name}")
    def chart(run: str, name: str) -> dict[str, Any]:
        return {"spec": runs.chart(folder(run), name)}


def _add_questions(app: FastAPI, asking: Asking, worker: Worker) -> None:
    """Work for the model: each question is a job, whose events are sent as they come."""

    def stream(steps: Callable[[Job], Steps], line: LineName = "parts") -> StreamingResponse:
        return StreamingResponse(_events(worker, steps, line), media_type="text/event-stream")

    @app.post("/api/tokens")
    async def tokens(asked: Ask) -> StreamingResponse:
        return stream(lambda job: asking.tokens(job, asked))

    @app.post("/api/sites")
    async def sites(asked: Ask) -> StreamingResponse:
        return stream(lambda job: asking.sites(job, asked))

    @app.post("/api/invert")
    async def invert(asked: Question) -> StreamingResponse:
        return stream(lambda job: asking.invert(job, asked), "natural text" if asked.run is None else "parts")

    @app.post("/api/explain")
    async def explain(asked: Question) -> StreamingResponse:
        return stream(lambda job: asking.explain(job, asked), "explanations")

    @app.post("/api/jobs/{of}/weigh")
    async def weigh(of: str, level: Level) -> StreamingResponse:
        return stream(lambda job: asking.weigh(job, of, level.bandwidth))

    @app.post("/api/vector")
    async def vector(request: Request, name: str, select: str = "") -> dict[str, Any]:
        content = await request.body()
        values = await run_in_threadpool(_vector, name, content, select)
        return {"vector": written(values), "width": len(values), "name": name}


async def _events(worker: Worker, steps: Callable[[Job], Steps], line: LineName) -> AsyncIterator[str]:
    """Events of a job for one page; a page that has gone cancels it."""
    loop, events = asyncio.get_running_loop(), asyncio.Queue[Event | None]()

    def send(event: Event | None) -> None:
        loop.call_soon_threadsafe(events.put_nowait, event)

    job = worker.submit(steps, send, line)
    try:
        yield _line({"event": "job", "id": job.id})
        while (event := await events.get()) is not None:
            yield _line(event)
    finally:
        job.cancel()


def _line(event: Event) -> str:
    return f"data: {json.dumps(event, ensure_ascii=True, allow_nan=False)}\n\n"


def _vector(name: str, content: bytes, select: str) -> Any:
    """The vector in a file that was dropped on the page.

    Raises:
        UserError: the file holds no vector.
    """
    from inversescope.subject.vectors import read_vector

    ending = next((each for each in VECTOR_FILES if name.lower().endswith(each)), None)
    if ending is None:
        raise UserError("this is not a file of vectors", given=name[-80:], allowed=", ".join(VECTOR_FILES))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"vector{ending}"
        path.write_bytes(content)
        try:
            return read_vector(f"{path}:{select}" if select else str(path)).float().cpu().numpy()
        except UserError as error:
            given = None if error.given is None else str(error.given).replace(str(path), name)
            raise UserError(error.problem, given=given, allowed=error.allowed, remedy="NAME:ROW beside it") from error
