"""The names of objects, without a media store."""

import pytest

from fsharechat.blobs import KeyRefused, keys
from fsharechat.blobs.keys import MAX_KEY, MAX_NAME, UPLOADER_FOLDER, Uploaders, identity, place
from fsharechat.protocol.signals import MediaType
from tests.unit.blobs.blobs_kit import make_uploaders

KIND = MediaType.FILE
KEYS = ["a.txt", "b/a.txt", "../a.txt", "x/../a.txt", "~/a.txt", "~u/a.txt", "a.txt?x", "a%2etxt", "a\\b.txt"]


async def folders(*uids: str) -> list[str]:
    uploaders = make_uploaders()
    return [await uploaders.folder(uid) for uid in uids]


async def test_the_folder_of_a_user_is_always_the_same_and_nobody_elses() -> None:
    uids = ["ann", "bob", "Ann", "ann ", "安", ""]
    found = await folders(*uids)
    assert found == await folders(*uids)
    assert len(set(found)) == len(uids)
    assert all(len(folder) == len(UPLOADER_FOLDER) + 32 for folder in found)


async def test_the_folder_of_a_user_is_another_in_another_deployment() -> None:
    """So it is no hash of the uid that anybody could make."""
    (here,) = await folders("ann")
    assert await make_uploaders(b"another deployment").folder("ann") != here


async def test_the_key_of_the_folders_is_asked_for_once() -> None:
    asked = 0

    async def agreed() -> bytes:
        nonlocal asked
        asked += 1
        return b"key"

    uploaders = Uploaders(agreed)
    for uid in ("ann", "bob"):
        await uploaders.folder(uid)
    assert asked == 1


async def test_no_two_objects_are_one() -> None:
    uploaders = ["", *await folders("ann", "bob")]
    found = {identity(place(KIND, key, uploader).name) for uploader in uploaders for key in KEYS}
    assert len(found) == len(uploaders) * len(KEYS)


async def test_all_of_a_users_objects_are_in_their_folder() -> None:
    (folder,) = await folders("ann")
    for key in KEYS:
        where = place(KIND, key, folder)
        assert where.name.startswith(f"{folder}/")
        assert where.folder.startswith(f"/{folder}")


async def test_nobody_elses_object_is_in_a_users_folder() -> None:
    ann, bob = await folders("ann", "bob")
    for key in KEYS:
        for wanted in (f"{ann}/{key}", f"../{ann}/{key}", place(KIND, key, ann).name):
            for uploader in ("", bob):
                assert not place(KIND, wanted, uploader).name.startswith(f"{ann}/")


def test_names_of_before_are_what_they_were() -> None:
    own = "~7f8adb96bbbdfa1ee2e2ce91bbe6e5fc"
    assert place(KIND, "photo 1.png") == ("", "photo 1.png")
    assert identity("photo 1.png") == "photo 1.png"
    assert identity(f"{own}/_/../up.txt") == own


@pytest.mark.parametrize("letter", ["x", "文"])
async def test_a_name_that_the_folder_makes_too_long_is_refused(letter: str) -> None:
    (folder,) = await folders("ann")
    fits = (MAX_NAME - len(folder) - 1) // len(letter.encode())
    assert place(KIND, letter * fits, folder).name == f"{folder}/{letter * fits}"
    with pytest.raises(KeyRefused):
        place(KIND, letter * (fits + 1), folder)


@pytest.mark.parametrize("segment", ["../", "/", "a/", "%61/"])
def test_a_key_that_is_no_name_is_not_looked_at_segment_by_segment(
    segment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place(KIND, "./" * ((MAX_KEY - 1) // 2) + "a").name.endswith("/a")
    seen: list[str] = []

    def decoded(part: str) -> str:
        seen.append(part)
        return part

    monkeypatch.setattr(keys, "_decoded", decoded)
    with pytest.raises(KeyRefused, match="too long"):
        place(KIND, segment * (1_000_000 // len(segment)) + "a")
    assert seen == []
