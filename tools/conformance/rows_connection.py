"""Sections 1, 2 and 4: framing, the first words of a connection, and its end."""

import asyncio
import json

from tools.conformance import shapes
from tools.conformance.checks import Refused, refused, same
from tools.conformance.device import ACCEPTED, SuiteDevice
from tools.conformance.links import SuiteLink, TcpLink, WebLink
from tools.conformance.rows import TCP, WS, row
from tools.conformance.world import World
from tools.wire import crypto, frames, proto2
from tools.wire.bodies import connect_body
from tools.wire.clients import BOUND
from tools.wire.contract import SIGNALS, SUB_SIGNALS

REFUSED = "CONNECTION_REFUSED_"
BAD_CREDENTIALS = REFUSED + "BAD_USER_NAME_OR_PASSWORD"
NO_SESSION = REFUSED + "SESSION_NOT_EXIST"
REJECTED = REFUSED + "IDENTIFIER_REJECTED"

REQUESTS = (*shapes.TYPED, *shapes.PLAIN)
ALL_OPTIONAL = ("UPUI", "MMI", "GPGI", "MGI", "REL")
"""Their messages have no required field."""

HEADS = ("messageHead", "friendHead")

SEARCH = proto2.encode("SearchUserRequest", {"keyword": "nobody"})


@row("1 another magic than F8 closes the connection", TCP)
async def magic(world: World) -> None:
    link = await world.tcp_link()
    await link.send_bytes(b"\xf7" + frames.encode(SIGNALS["PING"], 0, 1, b"{}")[1:])
    await link.until_closed()
    same(link.arrived, [], "answers")


@row("1 the high bit of signal and sub-signal is masked", TCP)
async def masks(world: World) -> None:
    link = _tcp((await world.online()).link)
    await link.send_bytes(frames.encode(SIGNALS["PUBLISH"] | 0x80, SUB_SIGNALS["US"] | 0x80, 7, SEARCH))
    answer = await link.until(lambda frame: frame.message_id == 7, "an answer")
    same((answer.signal, answer.sub, answer.code), ("PUB_ACK", "US", 0))


@row("1 frames may come in any pieces", TCP)
async def pieces(world: World) -> None:
    link = _tcp((await world.online()).link)
    both = b"".join(frames.encode(SIGNALS["PUBLISH"], SUB_SIGNALS["US"], id, SEARCH) for id in (500, 501))
    for byte in both:
        await link.send_bytes(bytes([byte]))
        await asyncio.sleep(0)
    for id in (500, 501):
        await link.until(lambda frame, id=id: frame.message_id == id, "an answer")  # type: ignore[misc]


@row("1 a PING before the login is answered")
async def ping_first(world: World) -> None:
    device = await world.device(await world.login())
    answer = await device.ping(9)
    same((answer.sub, answer.message_id), ("NONE", 9))
    same(await device.connect(), ACCEPTED)


@row("1 CONNECT and PING come back to back")
async def connect_and_ping(world: World) -> None:
    device = await world.device(await world.login())
    connected = asyncio.ensure_future(device.connect())
    answer = await device.ping(1)
    same(await connected, ACCEPTED)
    same(answer.message_id, 1)


@row("1 anything else before the login closes the connection")
async def too_early(world: World) -> None:
    session = await world.login()
    for signal in ("PUBLISH", "DISCONNECT"):
        device = await world.device(session)
        sub = "US" if signal == "PUBLISH" else "NONE"
        await device.link.send(signal, sub, 1, SEARCH, {"keyword": "nobody", "clearSession": 0})
        await device.link.until_closed()
        same(device.link.arrived, [], f"answers to {signal}")


@row("1 a signal that clients do not send closes the connection")
async def not_for_clients(world: World) -> None:
    for signal in ("PUB_ACK", "CONNECT_ACK", "SUB"):
        device = await world.online()
        await device.link.send(signal)
        await device.link.until_closed()


@row("1 a PUB_ACK has the sub-signal and the message id of its PUBLISH")
async def echo(world: World) -> None:
    device = await world.online()
    for id in (1, 300, 0xFFFF):
        await device.link.send("PUBLISH", "US", id, SEARCH, {"keyword": "nobody"})
        answer = await device.link.until(lambda frame: frame.signal == "PUB_ACK", "an answer")
        same((answer.sub, answer.message_id), ("US", id))


@row("2 a message id of a frame is any integer, and comes back as it was", WS)
async def any_id(world: World) -> None:
    device = await world.online()
    for id in (0, 0xFFFF, 0x10000, 2**31, 2**53 - 1, -1):
        await device.link.send("PUBLISH", "US", id, content={"keyword": "nobody"})
        answer = await device.link.until(lambda frame: frame.signal == "PUB_ACK", "an answer")
        same((answer.sub, answer.message_id), ("US", id))
        await device.link.send("PING", message_id=id, content={"interval": 30000})
        answer = await device.link.until(lambda frame: frame.signal == "PING", "an answer")
        same(answer.message_id, id)


@row("1 a refused request carries the code alone", TCP)
async def code_alone(world: World) -> None:
    device = await world.online()
    with refused(2):
        await device.ask_raw("US", b"\xff")
    # That nothing stands behind the code is required of every answer.


@row("1 requests are answered while others are under way")
async def many_at_once(world: World) -> None:
    device = await world.online()
    answers = await asyncio.gather(*(device.search("nobody") for _ in range(50)))
    same(answers, [[]] * 50)


def _tcp(link: SuiteLink) -> TcpLink:
    assert isinstance(link, TcpLink)
    return link


@row("2 the paths / and /ws", WS)
async def paths(world: World) -> None:
    session = await world.login()
    base = world.target.ws[0].rstrip("/").removesuffix("/ws")
    for path in ("/", "/ws"):
        link = await WebLink.to(base + path)
        world.links.append(link)
        await link.send("CONNECT", content=connect_body(session))
        answer = await link.until(lambda frame: frame.signal == "CONNECT_ACK", "a CONNECT_ACK")
        same(answer.sub, ACCEPTED, path)


@row("2 the heartbeat text gets no answer", WS)
async def heartbeat(world: World) -> None:
    link = await world.web_link()
    await link.send_text("心跳内容")
    device = await world.online()
    assert isinstance(device.link, WebLink)
    await device.link.send_text("心跳内容")
    await device.ping()
    await link.send("PING", message_id=3, content={"interval": 30000})
    await link.until(lambda frame: frame.signal == "PING", "a PING")
    same((link.arrived, device.link.arrived), ([], []), "answers to the heartbeat")


@row("2 content may be a JSON string of the object", WS)
async def string_content(world: World) -> None:
    session = await world.login()
    device = await world.device(session)
    await device.link.send("CONNECT", content=json.dumps(connect_body(session)))
    answer = await device.link.until(lambda frame: frame.signal == "CONNECT_ACK", "a CONNECT_ACK")
    same(answer.sub, ACCEPTED)
    answer = await device.ask_raw("US", b"", json.dumps({"keyword": session.number}))
    same([user["uid"] for user in answer.content], [session.user_id])
    answer = await device.ask_raw("UPUI", b"", json.dumps([session.user_id]))
    same([user["uid"] for user in answer.content], [session.user_id])


@row("2 content of the server is a string, and empty where a typed request failed", WS)
async def server_content(world: World) -> None:
    device = await world.online()
    await device.link.send("PUBLISH", "LRM", 4, content={"conversation": None})
    answer = await device.link.until(lambda frame: frame.message_id == 4, "an answer")
    same(answer.raw, "")
    await device.link.send("PUBLISH", "FALS", 5, content={"targetUserId": "nobody", "reason": "x"})
    answer = await device.link.until(lambda frame: frame.message_id == 5, "an answer")
    same(json.loads(answer.raw), {"code": 400, "message": "error", "result": None})


@row("2 64-bit ids travel as strings", WS)
async def ids_as_strings(world: World) -> None:
    ann, ben = await world.people(2)
    frame = await ann.ask_raw(
        "MS",
        b"",
        {
            "conversationType": 0,
            "target": ben.uid,
            "line": 0,
            "from": ann.uid,
            "tos": "",
            "messageId": "9007199254740993",
            "localMessageId": "9007199254740993",
            "content": {"type": 1, "searchableContent": "low digits"},
        },
    )
    id = json.loads(frame.raw)["messageId"]
    assert isinstance(id, str), id
    assert int(id) > 1 << 53, id
    (message,) = await ben.inbox(1)
    same((message["messageId"], message["localMessageId"]), (int(id), 9007199254740993))


@row("4 CONNECT is accepted")
async def accepted(world: World) -> None:
    device = await world.device(await world.login())
    same(await device.connect(), ACCEPTED)
    same({key: device.connected[key] for key in HEADS}, dict.fromkeys(HEADS, 0))


@row("4 CONNECT may have an empty will")
async def will(world: World) -> None:
    device = await world.device(await world.login())
    same(await device.connect(willTopic="", willMessage=""), ACCEPTED)


@row("4 messageHead is the head of the inbox")
async def message_head(world: World) -> None:
    ann, ben = await world.people(2)
    for said in ("one", "two", "three"):
        await ann.send(ben.uid, said)
    other = await world.another(ben)
    same(other.connected["messageHead"], 3)


@row("4 friendHead is the newest change among friends")
async def friend_head(world: World) -> None:
    ann, ben = await world.people(2)
    await world.befriend(ann, ben)
    (friend,) = await ann.friends()
    other = await world.another(ann)
    same(other.connected["friendHead"], friend["timestamp"])


@row("5 ConnectAckPayload: the heads of requests and settings, and the server's time", TCP)
async def other_heads(world: World) -> None:
    ann, ben = await world.people(2)
    same((ben.connected["requestHead"], ben.connected["settingHead"]), (0, 0))
    sent = await ann.send(ben.uid, "what time is it?")
    await ann.add_friend(ben.uid)
    (request,) = await ben.friend_requests()
    version = await ben.set(2, "", "1")
    heads = (await world.another(ben)).connected
    same((heads["requestHead"], heads["settingHead"]), (request["timestamp"], version))
    assert abs(heads["serverTime"] - sent["timestamp"]) < 60_000, (heads, sent)


@row("4 bad credentials are refused with 5")
async def bad_credentials(world: World) -> None:
    ann, ben = await world.login(), await world.login()
    theirs = connect_body(ben)["password"]
    wrong_key = crypto.password(ann.user_token, "0123456789abcdef")
    for password in (theirs, wrong_key, "", "?", "AAAA"):
        device = await world.device(ann)
        same(await device.connect(password=password), BAD_CREDENTIALS, repr(password))
        await device.link.until_closed()


@row("4 the stamp decides nothing: a device whose clock is wrong is accepted")
async def any_stamp(world: World) -> None:
    session = await world.login()
    now = crypto.hours()
    for at in (0, now - 1000, now - 26, now + 1, now + 10_000, 0xFFFFFF):
        device = await world.device(session)
        password = crypto.password(session.user_token, session.secret, at)
        same(await device.connect(password=password), ACCEPTED, f"stamped {at - now} hours from now")


@row("4 no such session is refused with 8")
async def no_session(world: World) -> None:
    session = await world.login()
    for changes in ({"clientIdentifier": "never-logged-in"}, {"userName": "nobody-at-all"}):
        device = await world.device(session)
        same(await device.connect(**changes), NO_SESSION, str(changes))
        await device.link.until_closed()


@row("4 an empty client id is refused with 3")
async def empty_client(world: World) -> None:
    device = await world.device(await world.login())
    same(await device.connect(clientIdentifier=""), REJECTED)
    await device.link.until_closed()


@row("4 a second connection of a client id replaces the first")
async def replaced(world: World) -> None:
    session = await world.login()
    first = await world.online(session)
    second = await world.online(session)
    await first.link.until_closed()
    same(await second.search("nobody"), [])


@row("4 a connection over the other transport replaces the first too")
async def replaced_across(world: World) -> None:
    session = await world.login()
    first = await world.online(session)
    second = await world.online(session, "ws" if world.transport == "tcp" else "tcp")
    await first.link.until_closed()
    same(await second.search("nobody"), [])


@row("4 different client ids of a user are online side by side")
async def side_by_side(world: World) -> None:
    ann, ben = await world.people(2)
    tablet = await world.another(ben)
    await ann.send(ben.uid, "to both")
    for device in (ben, tablet):
        (message,) = await device.inbox(1)
        same(message["content"]["searchableContent"], "to both")
    await ben.ping()
    await tablet.ping()


@row("4 DISCONNECT 1 forgets the session")
async def log_out(world: World) -> None:
    device = await world.online()
    other = await world.another(device)
    await device.disconnect(1)
    answer = ACCEPTED  # the session may live for a moment longer than the connection
    async with asyncio.timeout(BOUND):
        while answer == ACCEPTED:
            again = await world.device(device.session)
            answer = await again.connect()
    same(answer, NO_SESSION)
    await again.link.until_closed()
    await other.ping()  # the other device's session is another one


@row("4 DISCONNECT 0 only closes")
async def disconnect(world: World) -> None:
    device = await world.online()
    await device.disconnect(0)
    same((await world.online(device.session)).uid, device.uid)


@row("4 a PING is answered with its message id and a text")
async def ping(world: World) -> None:
    device = await world.online()
    for id in (1, 0xFFFF):
        answer = await device.ping(id)
        same((answer.signal, answer.sub, answer.message_id), ("PING", "NONE", id))
        assert answer.content, "the text of a PING is empty"


@row("5 a body that is no such message is refused with 2", TCP)
async def no_protobuf(world: World) -> None:
    device = await world.online()
    codes = {sub: await _code(device, sub, b"\xff\xff") for sub in REQUESTS}
    same(codes, dict.fromkeys(REQUESTS, 2), "codes")


@row("5 a request without a required field is refused with 2 or 251", TCP)
async def lacks_required(world: World) -> None:
    device = await world.online()
    codes = {sub: await _code(device, sub, b"") for sub in REQUESTS if sub not in ALL_OPTIONAL}
    same({sub: code for sub, code in codes.items() if code not in (2, 251)}, {}, "other codes")


async def _code(device: SuiteDevice, sub: str, body: bytes) -> int | None:
    """Return with which code a request is answered."""
    try:
        return (await device.ask_raw(sub, body)).code
    except Refused as refusal:
        return refusal.code


@row("5 a text that is not UTF-8 is refused with 2", TCP)
async def not_utf8(world: World) -> None:
    ann, ben = await world.people(2)
    for content in ({"type": 1, "searchable_content": b"\xff\xfe"}, {"type": 90, "content": b"\xff\xfe"}):
        body = proto2.encode(
            "Message",
            {"conversation": {"type": 0, "target": ben.uid, "line": 0}, "from_user": "", "content": content},
        )
        with refused(2):
            await ann.ask_raw("MS", body)


@row("5 a sub-signal that is no request is answered with 254", TCP)
async def unknown_sub_signal(world: World) -> None:
    device = await world.online()
    link = _tcp(device.link)
    for sub in (0, SUB_SIGNALS["MN"], SUB_SIGNALS["CONNECTION_ACCEPTED"]):
        await link.send_bytes(frames.encode(SIGNALS["PUBLISH"], sub, 77))
        answer = await link.until(lambda frame: frame.message_id == 77, "an answer")
        same((answer.signal, answer.code), ("PUB_ACK", 254), f"sub-signal {sub}")
    await device.ping()


@row("5 a refused request leaves the connection open")
async def goes_on(world: World) -> None:
    device = await world.online()
    with refused(253):
        await device.set_alias("nobody-at-all", "x")
    same(await device.search("nobody"), [])
