"""The routes of the back office: the open API and the administration, behind one key, and their description."""

from functools import cached_property

import orjson
from aiohttp import web

from fsharechat.node import Node
from roles.api.admin import ADMIN
from roles.api.docs.description import Object, describe
from roles.api.docs.page import page
from roles.api.endpoints import BackOffice
from roles.api.keys import KeyGuard
from roles.api.openapi import PUSH

ENDPOINTS = (PUSH, *ADMIN)
PATHS = ("/imopenapi/", "/admin/")
"""The beginnings of all their paths."""


def add_routes(app: web.Application, node: Node) -> None:
    office = BackOffice(node, KeyGuard(node.settings.api.key, node.rpc))
    for endpoint in ENDPOINTS:
        office.add(app, endpoint)
    docs = Docs(app)
    app.router.add_get("/imopenapi/openapi.json", docs.document)
    app.router.add_get("/docs", docs.page)


class Docs:
    """The description of all routes of an application, made at the first request for it."""

    def __init__(self, app: web.Application) -> None:
        self._app = app

    @cached_property
    def _description(self) -> Object:
        return describe(self._app, ENDPOINTS)

    @cached_property
    def _page(self) -> str:
        return page(self._description)

    async def document(self, _: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(self._description), content_type="application/json")

    async def page(self, _: web.Request) -> web.Response:
        headers = {
            "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(text=self._page, content_type="text/html", headers=headers)
