"""The port of the metrics."""

import aiohttp

from fsharechat.health import Health
from fsharechat.metrics import Metrics


async def test_it_decompresses_nothing() -> None:
    metrics = Metrics()
    address = await metrics.serve("127.0.0.1", 0, Health())
    async with aiohttp.ClientSession() as http:
        async with http.get(address) as response:
            assert response.status == 200
        headers = {"Content-Encoding": "gzip"}
        async with http.get(address, data=b"no stream of any kind", headers=headers) as response:
            assert response.status == 415
    await metrics.close()
