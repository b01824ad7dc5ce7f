"""The administration over HTTP: what it answers, what it refuses, and what it logs."""

import re
from urllib.parse import quote

import pytest

from fsharechat.bus import Event, Kick, Presence
from fsharechat.store import groups
from fsharechat.store.groups import Info, NewMember
from roles.api.back_office import ADMIN
from tests.unit.api.api_kit import KEY, NUMBER, Site
from tests.unit.api.office_kit import Desk

NODE = 5
"""A connector that is not here."""


@pytest.fixture
def desk(site: Site) -> Desk:
    return Desk(site)


async def test_a_user_is_made_found_and_listed(desk: Desk) -> None:
    made = await desk.ask("POST", "/admin/users", {"number": NUMBER, "displayName": "Ann"})
    assert (made.status, made.code) == (200, 200)
    uid = made.body["result"]["uid"]
    assert made.body["result"] == {
        "uid": uid,
        "number": NUMBER,
        "displayName": "Ann",
        "status": "normal",
        "updateDt": desk.site.now + 1,  # made, then named
    }
    for key in (uid, NUMBER):
        shown = await desk.ask("GET", f"/admin/users/{key}")
        assert shown.body["result"].items() > made.body["result"].items()
        assert (shown.body["result"]["mobile"], shown.body["result"]["email"]) == (NUMBER, "")
    listed = await desk.ask("GET", "/admin/users")
    assert listed.body["result"] == {"users": [made.body["result"]], "next": ""}


async def test_a_user_who_was_made_logs_in_with_the_number(desk: Desk) -> None:
    made = await desk.ask("POST", "/admin/users", {"number": "Ann@Example.com"})
    answer = await desk.site.login(await desk.site.new_code("ann@example.com"), "ann@example.com")
    result = answer.body["result"]
    assert (result["userId"], result["register"]) == (made.body["result"]["uid"], False)


async def test_a_number_that_is_taken_is_told_with_whose_it_is(desk: Desk) -> None:
    uid = await desk.user(NUMBER)
    answer = await desk.ask("POST", "/admin/users", {"number": NUMBER})
    assert (answer.status, answer.code, answer.body["result"]) == (409, 409, None)
    assert uid in answer.body["message"]


async def test_users_are_listed_page_by_page_and_searched(desk: Desk) -> None:
    everybody = {await desk.user(f"138000000{n:02}") for n in range(5)}
    seen, after = [], ""
    while True:
        page = (await desk.ask("GET", f"/admin/users?limit=2&after={after}")).body["result"]
        seen += [user["uid"] for user in page["users"]]
        if not (after := page["next"]):
            break
    assert (len(seen), set(seen)) == (5, everybody)
    found = (await desk.ask("GET", "/admin/users?search=0000003")).body["result"]["users"]
    assert [user["number"] for user in found] == ["13800000003"]
    await desk.ask("PUT", f"/admin/users/{seen[0]}/status", {"status": "muted"})
    muted = (await desk.ask("GET", "/admin/users?status=muted")).body["result"]["users"]
    assert [user["uid"] for user in muted] == [seen[0]]


async def test_the_devices_of_a_user_are_shown_and_kicked(desk: Desk) -> None:
    told: list[Event] = []
    bus = desk.site.node.bus
    await bus.serve_node(NODE, told.extend)
    uid = (await desk.site.login(await desk.site.new_code(), client_id="a phone/é")).body["result"]["userId"]
    bus.announce(Presence(uid, "a phone/é", NODE, 1234))
    bus.announce(Presence(uid, "web", NODE, 1235))
    counted = (await desk.ask("GET", "/admin/sessions")).body["result"]
    assert counted == {"devices": 2, "users": 1, "nodes": [{"node": NODE, "devices": 2}]}
    listed = (await desk.ask("GET", f"/admin/users/{NUMBER}/sessions")).body["result"]
    phone, web = listed["sessions"]
    assert phone == {
        "clientId": "a phone/é",
        "loggedInAt": desk.site.now,
        "online": True,
        "node": NODE,
        "since": 1234,
    }
    assert (web["clientId"], web["loggedInAt"], web["online"]) == ("web", None, True)

    path = f"/admin/users/{uid}/sessions/{quote('a phone/é', safe='')}"
    kept = await desk.ask("DELETE", f"{path}?logout=false")
    assert kept.body["result"] == {"uid": uid, "disconnected": ["a phone/é"], "loggedOut": []}
    ended = await desk.ask("DELETE", f"/admin/users/{uid}/sessions")
    assert ended.body["result"] == {
        "uid": uid,
        "disconnected": ["a phone/é", "web"],
        "loggedOut": ["a phone/é"],
    }
    assert [event.client_id for event in told if isinstance(event, Kick)] == ["a phone/é", "a phone/é", "web"]
    assert (await desk.ask("DELETE", f"/admin/users/{uid}/sessions/other")).status == 404


async def test_groups_are_listed_and_shown(desk: Desk) -> None:
    ann, bob = await desk.user("13800000001"), await desk.user("13800000002")
    write = desk.site.node.store.write
    for id, dismissed in (("g1", False), ("g2", True)):
        await write(groups.create, Info(id, "Chess", "p", ann, 2, "e", 2, dismissed, 7, 7))
    await write(groups.put_members, "g1", [NewMember(ann, 2), NewMember(bob, 3, "bobby")], 5)
    listed = (await desk.ask("GET", "/admin/groups?search=hes&limit=1")).body["result"]
    assert listed.pop("next") != ""
    assert listed == {
        "groups": [
            {
                "id": "g1",
                "name": "Chess",
                "owner": ann,
                "type": "restricted",
                "memberCount": 2,
                "dismissed": False,
                "updateDt": 7,
            }
        ],
    }
    shown = (await desk.ask("GET", "/admin/groups/g1")).body["result"]
    assert (shown["portrait"], shown["extra"], shown["next"]) == ("p", "e", "")
    members = {member["uid"]: member for member in shown["members"]}
    assert members[bob] == {
        "uid": bob,
        "displayName": "0002",
        "alias": "bobby",
        "type": "silenced",
        "joinedAt": 5,
    }
    assert members[ann]["type"] == "owner"
    first = (await desk.ask("GET", "/admin/groups/g1?limit=1")).body["result"]
    rest = (await desk.ask("GET", f"/admin/groups/g1?after={first['next']}")).body["result"]
    assert {one["uid"] for one in (*first["members"], *rest["members"])} == {ann, bob}
    assert (await desk.ask("GET", "/admin/groups/g3")).status == 404


async def test_words_are_added_listed_and_removed(desk: Desk) -> None:
    assert (await desk.ask("GET", "/admin/words")).body["result"] == {"words": [], "total": 0, "next": ""}
    added = await desk.ask("POST", "/admin/words", {"words": ["Gold", "gold", "铅"]})
    assert added.body["result"] == {"added": 2}
    page = (await desk.ask("GET", "/admin/words?limit=1")).body["result"]
    assert page == {"words": ["gold"], "total": 2, "next": "gold"}
    assert (await desk.ask("GET", "/admin/words?after=gold")).body["result"]["words"] == ["铅"]
    removed = await desk.ask("POST", "/admin/words/remove", {"words": ["GOLD", "lead"]})
    assert removed.body["result"] == {"removed": 1}


@pytest.mark.parametrize(
    ("method", "path", "body", "problem"),
    [
        ("POST", "/admin/users", {}, "number: "),
        ("POST", "/admin/users", {"number": "12345"}, "number: "),
        ("POST", "/admin/users", {"number": NUMBER, "displayname": "x"}, "displayname: "),
        ("POST", "/admin/users", {"number": NUMBER, "displayName": "x" * 65}, "displayName: "),
        ("PUT", "/admin/users/x/status", {"status": "gone"}, "status: "),
        ("PUT", "/admin/users/x/status", b"", "the body must be JSON"),
        ("GET", "/admin/users?limit=0", None, "limit: "),
        ("GET", "/admin/users?limit=201", None, "limit: "),
        ("GET", "/admin/users?status=gone", None, "status: "),
        ("GET", "/admin/users?page=1", None, "page: "),
        ("GET", "/admin/groups?limit=x", None, "limit: "),
        ("DELETE", "/admin/users/x/sessions?logout=perhaps", None, "logout: "),
        ("POST", "/admin/words", {"words": []}, "words: "),
        ("POST", "/admin/words", {"words": ["a"] * 10_001}, "words: "),
        ("POST", "/admin/words", {"words": ["a", ""]}, "words.1: "),
        ("POST", "/admin/words", {"words": [{}]}, "words.0: "),
        ("POST", "/admin/words/remove", {}, "words: "),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_what_is_wrong_is_told_by_its_field(
    desk: Desk, method: str, path: str, body: object, problem: str
) -> None:
    answer = await desk.ask(method, path, body)
    assert (answer.status, answer.code, answer.body["result"]) == (400, 400, None)
    assert answer.body["message"].startswith(problem)


@pytest.mark.parametrize("shown", [None, "wrong"])
async def test_every_endpoint_needs_the_key(desk: Desk, shown: str | None) -> None:
    desk.key = shown
    for endpoint in ADMIN:
        path = re.sub("{[^}]*}", "x", endpoint.path)
        assert (await desk.ask(endpoint.method, path)).status == 401, f"{endpoint.method} {path}"
        desk.site.now += 3_600_000  # an address may show few wrong keys in a time


async def test_what_is_done_is_logged_with_who_asked_and_whom_it_is_about(desk: Desk) -> None:
    await desk.user(NUMBER)
    await desk.ask("PUT", f"/admin/users/{NUMBER}/status", {"status": "muted"})
    await desk.ask("GET", "/admin/users/nobody")
    await desk.ask("POST", "/admin/words", {"words": ["hush", "hush hush"]})
    wanted = [
        {"op": "users.status", "user": NUMBER, "status": "muted", "code": 200},
        {"op": "users.get", "user": "nobody", "code": 404},
        {"op": "words.add", "words": 2, "code": 200},
    ]
    lines = desk.logged("back office")
    assert [{key: line[key] for key in want} for line, want in zip(lines, wanted, strict=True)] == wanted
    assert {line["address"] for line in lines} == {"127.0.0.1"}
    assert "hush" not in str(desk.site.logs)
    assert KEY not in str(desk.site.logs)


async def test_a_member_is_silenced_and_a_group_handed_over_in_the_owners_name(desk: Desk) -> None:
    ann, ben, cid = [await desk.user(f"1380000000{number}") for number in range(3)]
    write = desk.site.node.store.write
    await write(groups.create, Info("g1", "Chess", "p", ann, 0, "e", 2, False, 7, 7))
    await write(groups.put_members, "g1", [NewMember(ann, 2), NewMember(ben, 0)], 5)
    await desk.ask("PUT", f"/admin/users/{ann}/status", {"status": "blocked"})  # often why it is done

    async def types() -> dict[str, str]:
        shown = (await desk.ask("GET", "/admin/groups/g1")).body["result"]
        return {one["uid"]: one["type"] for one in shown["members"]}

    member = f"/admin/groups/g1/members/{ben}"
    assert (await desk.ask("PUT", member, {"type": "silenced"})).status == 200
    assert await types() == {ann: "owner", ben: "silenced"}
    assert (await desk.ask("PUT", member, {"type": "normal"})).status == 200
    handed = await desk.ask("PUT", "/admin/groups/g1/owner", {"owner": ben})
    assert (handed.status, handed.body["result"]["owner"]) == (200, ben)
    assert await types() == {ann: "normal", ben: "owner"}
    assert [one.from_user for one in await desk.inbox(ben)] == [ann, ann, ann]
    assert (await desk.ask("PUT", member, {"type": "silenced"})).status == 409
    assert (await desk.ask("PUT", "/admin/groups/g1/owner", {"owner": cid})).status == 404
    assert (await desk.ask("PUT", f"/admin/groups/g1/members/{cid}", {"type": "normal"})).status == 404
    assert (await desk.ask("PUT", "/admin/groups/g2/owner", {"owner": ben})).status == 404
    logged = (await desk.ask("GET", "/admin/audit?target=g1&order=asc")).body["result"]["entries"]
    assert [(one["op"], one["details"], one["status"]) for one in logged][:3] == [
        ("groups.member", {"member": ben, "type": "silenced"}, 200),
        ("groups.member", {"member": ben, "type": "normal"}, 200),
        ("groups.owner", {"owner": ben}, 200),
    ]
