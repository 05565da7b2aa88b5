"""The HTTP interface: routes, what they refuse, and the page.

Every error is application/problem+json with one sentence for people. Files come from a fixed table,
read once: no request names a file.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
import orjson
from fastapi import Depends, FastAPI, Header, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

import sketchjax
from sketchjax.index.engine import Description, Engine, NoItem
from sketchjax.index.search import Answer
from sketchjax.report.svg import path_data, view_box
from sketchjax.retrieval.outputs import Encoder
from sketchjax.serving.accept import preferred
from sketchjax.serving.answers import Heads, Origins, Seen
from sketchjax.serving.batches import Batches
from sketchjax.serving.bodies import JSON, any_form, json_only
from sketchjax.serving.forms import FORMS
from sketchjax.serving.limits import Limits, Rates, Workers
from sketchjax.serving.metrics import CONTENT_TYPE, Metrics
from sketchjax.serving.problems import HANDLERS, Refused, problems, sentence
from sketchjax.serving.schema import (
    Added,
    AddRequest,
    Encoded,
    EncodeRequest,
    Id,
    SearchRequest,
    Sketch,
    State,
    components,
    reference,
)
from sketchjax.serving.service import Service
from sketchjax.serving.settings import Settings

_FOLDER = Path(__file__).parent / "page"
_SCRIPT = "text/javascript; charset=utf-8"
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"description": "A JPEG file.", "content": {"image/jpeg": _BYTES}}
}
_TEXT = {"schema": {"type": "string"}}
PAGE = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    **{
        f"/{name}.js": (f"{name}.js", _SCRIPT)
        for name in (
            *("api", "classes", "code", "draw", "examples", "files", "filter", "hits", "pad"),
            *("problem", "simplify", "sketch", "words"),
            *("svg_file", "svg_lengths", "svg_path", "svg_shapes", "svg_style"),
        )
    },
}


def create_app(engine: Engine, encoder: Encoder, settings: Settings) -> FastAPI:
    """The application; `app.state.service` is to be warmed before it answers searches.

    engine: the index.
    encoder: the model that made its codes.
    settings: see `Settings`.
    Raises DataError where the index holds codes of another model.
    """
    service, workers = Service(engine, encoder), Workers(settings.threads)
    metrics = Metrics(service, workers)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        workers.close()
        engine.close()

    app = FastAPI(
        title="sketchjax",
        version=sketchjax.__version__,
        description="Search by drawing.",
        docs_url=None,  # their scripts come from a CDN
        redoc_url=None,
        lifespan=lifespan,
        responses=problems(),
    )
    app.state.service, app.state.workers = service, workers
    app.openapi = lambda: _openapi(app)
    _add_searches(app, service, workers)
    _add_changes(app, service, workers, settings.token)
    _add_states(app, service, metrics)
    _add_page(app)
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    app.add_middleware(Heads)
    app.add_middleware(
        Limits,
        hosts=frozenset({"localhost", *settings.hosts}),
        rates=Rates() if settings.public else None,
    )
    # Around the limits: without its headers, a browser hides from a page why it was refused.
    if settings.origins:
        app.add_middleware(Origins, origins=settings.origins)
    app.add_middleware(Seen, seen=metrics.seen)
    return app


def _add_searches(app: FastAPI, service: Service, workers: Workers) -> None:
    def check_ready() -> None:
        if not service.ready.is_set():
            raise Refused(503, "The server is warming up; try again in a second.", wait=1)

    async def run(work: Callable[[], Any]) -> Any:
        check_ready()
        return await workers.run(work)

    searches = Batches(service.search_all, service.encoder.at_once, workers)

    async def search(request: SearchRequest) -> Response:
        """The nearest drawings of the index."""
        check_ready()
        return _json(await searches.run(request))

    app.router.add_api_route(
        "/v1/search",
        search,
        methods=["POST"],
        responses=reference(Answer),
        openapi_extra={"requestBody": {"content": dict.fromkeys(FORMS, _TEXT)}},
        route_class_override=any_form(run),
        dependencies=[Depends(json_only(*FORMS))],
    )

    @app.post("/v1/encode", responses=reference(Encoded), dependencies=[Depends(json_only())])
    async def encode(request: EncodeRequest) -> Response:
        """The codes of drawings."""
        return _json(await run(lambda: service.encode(request)))

    @app.get("/v1/index", responses=reference(Description))
    async def index() -> Response:
        """What the index holds."""
        return _json(await workers.run(service.describe))

    async def there(work: Callable[[], Any]) -> Any:
        try:
            return await workers.run(work)
        except NoItem as error:
            raise Refused(404, sentence(str(error))) from None

    @app.get("/v1/sketches/{id}/thumbnail", responses=_JPEG, response_class=Response)
    async def thumbnail(id: Id) -> Response:
        """The picture of a photo, of at most 128 px."""
        content = await there(lambda: service.thumbnail(id))
        # An id is never used again, so a browser may keep its picture.
        headers = {"cache-control": "private, max-age=86400"}
        return Response(content, media_type="image/jpeg", headers=headers)

    @app.get("/v1/sketches/{id}", responses=_forms_of_a_sketch())
    async def sketch(id: Id, request: Request) -> Response:
        """One drawing: as JSON, as SVG or as a line of ndjson, by the header Accept."""
        found, points = await there(lambda: service.get(id))
        accept = ",".join(request.headers.getlist("accept"))
        offers = (JSON, *FORMS) if len(points) else (JSON,)
        form = preferred(accept, offers)
        if form is None and len(points):
            raise Refused(406, f"The header Accept has none of {', '.join(offers)}.")
        if form is None:
            raise Refused(406, f"This is a photo: its picture is at /v1/sketches/{id}/thumbnail.")
        if form == "image/svg+xml":
            content = _svg(points)
        elif form == "application/x-ndjson":
            record = {"word": found.category, "key_id": found.key_id, "drawing": found.drawing}
            content = orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE)
        else:
            content = msgspec.json.encode(found)
        return Response(content, media_type=form)


def _svg(points: np.ndarray) -> str:
    """The SVG file of a drawing u8[t 3]."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view_box(points)}" fill="none" '
        'stroke="#1c1f23" stroke-width="3" stroke-linecap="round" stroke-linejoin="round">'
        f'<path d="{path_data(points)}"/></svg>'
    )


def _forms_of_a_sketch() -> dict[int | str, dict[str, Any]]:
    described = reference(Sketch)
    described[200]["content"] |= dict.fromkeys(FORMS, _TEXT)
    return described


def _add_changes(app: FastAPI, service: Service, workers: Workers, token: str | None) -> None:
    async def authorized(authorization: Annotated[str, Header()] = "") -> None:
        if token is None:
            raise Refused(403, "This index cannot be changed: the server has no --token-file.")
        scheme, _, given = authorization.partition(" ")
        right = hmac.compare_digest(given.strip(" ").encode(), token.encode())
        if scheme.lower() != "bearer" or not right:
            raise Refused(
                401, "Changing the index needs its token, as Authorization: Bearer TOKEN.",
                headers={"www-authenticate": "Bearer"},
            )  # fmt: skip

    guard = [Depends(authorized)]
    of_json = [*guard, Depends(json_only())]

    @app.post(
        "/v1/sketches", status_code=201, responses=reference(Added, 201), dependencies=of_json
    )
    async def add(request: AddRequest) -> Response:
        """Add drawings to the index; they are on the disk when the answer comes."""
        return _json(Added(await workers.run(lambda: service.add(request))), 201)

    @app.delete("/v1/sketches/{id}", status_code=204, dependencies=guard)
    async def delete(id: Id) -> Response:
        """Delete a drawing from the index."""
        if not await workers.run(lambda: service.delete(id)):
            raise Refused(404, f"There is no drawing {id} in the index.")
        return Response(status_code=204)


def _add_states(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.get("/healthz", responses=reference(State))
    async def alive() -> Response:
        """Whether the process answers."""
        return _json(State("alive"))

    @app.get("/readyz", responses=reference(State))
    async def ready() -> Response:
        """Whether searches are answered."""
        if not service.ready.is_set():
            raise Refused(503, "The server is warming up; try again in a second.", wait=1)
        await asyncio.to_thread(service.describe)  # raises where the engine is away
        return _json(State("ready"))

    @app.get("/metrics", include_in_schema=False)
    async def figures() -> Response:
        return Response(await asyncio.to_thread(metrics.text), media_type=CONTENT_TYPE)


def _add_page(app: FastAPI) -> None:
    for path, (name, kind) in PAGE.items():
        response = Response(
            (_FOLDER / name).read_bytes(), media_type=kind, headers={"cache-control": "no-cache"}
        )

        def send(response: Response = response) -> Any:
            async def file() -> Response:
                return response

            return file

        app.get(path, include_in_schema=False)(send())


def _json(answer: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type=JSON)


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the answers, and without FastAPI's own form of errors."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        schemas.update(components())
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        for methods in document["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
        app.openapi_schema = document
    return app.openapi_schema
