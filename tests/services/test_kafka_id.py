"""The id of a new Kafka cluster."""

import uuid

from tools.services.kafka import cluster_id


def test_no_id_looks_like_a_flag() -> None:
    drawn = iter(
        (uuid.UUID(bytes=b"\xf8" + bytes(15)), uuid.UUID(bytes=b"\xfb" + bytes(15)), uuid.UUID(int=1))
    )
    assert cluster_id(lambda: next(drawn)) == "AAAAAAAAAAAAAAAAAAAAAQ"


def test_ids_have_22_letters() -> None:
    assert len(cluster_id()) == 22
