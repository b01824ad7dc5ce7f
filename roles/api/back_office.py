"""The routes of the back office: the open API and the administration, behind one key."""

from aiohttp import web

from fsharechat.node import Node
from roles.api.admin import ADMIN
from roles.api.endpoints import BackOffice
from roles.api.keys import KeyGuard
from roles.api.openapi import PUSH

ENDPOINTS = (PUSH, *ADMIN)


def add_routes(app: web.Application, node: Node) -> None:
    office = BackOffice(node, KeyGuard(node.settings.api.key))
    for endpoint in ENDPOINTS:
        office.add(app, endpoint)
