"""The common part of S3 servers."""

import http.client

from .service import HOST, Service

ACCESS_KEY = "fsharechat"
SECRET_KEY = "fsharechat-secret"


class S3Service(Service):
    """A service that keeps media; its first port is the clients'."""

    def variables(self) -> dict[str, str]:
        return {
            "FSHARECHAT_BLOBS__URL": f"http://{HOST}:{self.ports[0]}",
            "FSHARECHAT_BLOBS__ACCESS_KEY": ACCESS_KEY,
            "FSHARECHAT_BLOBS__SECRET_KEY": SECRET_KEY,
        }


def is_healthy(port: int, path: str) -> bool:
    """Ask the server on a port whether it is healthy."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
