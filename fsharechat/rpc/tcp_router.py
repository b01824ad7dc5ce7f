"""Chooses the process for each call, and acts when that process drains or breaks."""

import asyncio
from collections.abc import Callable

import structlog

from fsharechat.protocol.signals import Code
from fsharechat.rpc import Call, Reply
from fsharechat.rpc.codec import CodecError
from fsharechat.rpc.deadlines import Deadlines
from fsharechat.rpc.link import RpcLimits
from fsharechat.rpc.tcp_client import FORGOTTEN, Asked, ClientConnection, UserLane

log = structlog.get_logger(__name__)


class Router:
    """Calls over the connections to the group processes.

    A call goes to the process with the fewest calls of ours. But calls of one user that are under way at the same
    time stay with one process (see UserLane). When a connection breaks, its calls go to another one, as `retried`. If
    no process is left, they wait for one until their deadline. A call may be the cause when a process breaks, so a
    call that has broken `limits.tries` processes is given up. Counts: `retried`, `given_up` and `refused`,
    `timed_out`.
    """

    def __init__(self, timeout: float, limits: RpcLimits, changed: Callable[[], None]) -> None:
        """`timeout` is the deadline of each call, s. `changed` is called when `processes` has changed."""
        self.retried = 0
        self.given_up = 0
        self.refused = 0
        self.timed_out = 0
        self.under_way = 0
        """Calls that have not been answered."""
        self.lanes: dict[str, UserLane] = {}
        """The lanes of users with calls under way."""
        self._changed = changed
        self._timeout = timeout
        self._limits = limits
        self._bytes = 0
        self._uses = 0
        self._targets: list[ClientConnection] = []
        self._stranded: dict[UserLane, None] = {}  # in order, waiting for a process
        self._loop = asyncio.get_running_loop()
        self._deadlines: Deadlines[Asked] = Deadlines(self._give_up, limits.tick_seconds, limits.under_way)
        self._deadlines.start()

    @property
    def processes(self) -> int:
        """Return how many processes take calls."""
        return len(self._targets)

    async def close(self) -> None:
        """Return when the calls under way are answered, or their deadlines have passed."""
        if futures := [future for _, future in self._deadlines.under_way()]:
            await asyncio.wait(futures, timeout=self._timeout + self._limits.tick_seconds)
        self._deadlines.stop()

    def call(self, call: Call) -> asyncio.Future[Reply]:
        """Ask another process (see Rpc.call)."""
        asked = Asked(loop=self._loop)
        size = len(call.body)
        limits = self._limits
        if (
            not self._targets
            or self.under_way >= limits.under_way
            or self._bytes + size > limits.under_way_bytes
        ):
            self.refused += 1
            asked.set_result(Reply(Code.SERVER_ERROR))
            return asked
        uid = call.uid
        lane = self.lanes.get(uid)
        if lane is None:
            lane = UserLane(uid, self._least_loaded())
            if uid:
                self.lanes[uid] = lane
        asked.call = call
        asked.lane = lane
        asked.sent = False
        asked.tries = 0
        asked.deadline = deadline = self._loop.time() + self._timeout
        self.under_way += 1
        self._bytes += size
        self._deadlines.watch(deadline, uid, asked)
        target = lane.target
        if target is not None and target.taking and not lane.waiting:
            self._send(asked, lane, target, self._timeout)
        elif lane.sent or lane.waiting:
            lane.waiting.append(asked)
        else:
            self._refuse(asked)
        if not lane.sent:
            self._clear_away(lane)
        return asked

    def hold(self, uid: str, future: "asyncio.Future[Reply]") -> None:
        """Let the user's calls wait for a call that is under way in this process."""
        if not uid:
            return
        lane = self.lanes.get(uid)
        if lane is None:
            lane = self.lanes[uid] = UserLane(uid, None)
        held = lane
        held.sent += 1
        future.add_done_callback(lambda _: self._come_back(held))

    # What connections tell

    def serving(self, connection: ClientConnection) -> None:
        self._targets.append(connection)
        self._changed()
        stranded, self._stranded = self._stranded, {}
        for lane in stranded:
            self._move_on(lane)

    def leaving(self, connection: ClientConnection) -> None:
        self._targets.remove(connection)
        self._changed()

    def answered(self, asked: Asked, reply: Reply) -> None:
        lane = asked.lane
        if lane is not None:
            self._finish(asked, reply)
            self._come_back(lane)

    def broken(self, calls: list[Asked]) -> None:
        """Take the calls of a lost connection, oldest first."""
        again: dict[UserLane, list[Asked]] = {}
        for asked in calls:
            lane = asked.lane
            if lane is None:
                continue
            again.setdefault(lane, [])
            lane.sent -= 1
            asked.sent = False
            asked.tries += 1
            if asked.done():
                self._time_out(asked)
            elif asked.tries >= self._limits.tries:
                log.warning("call given up: each process it went to broke", method=asked.call.method)
                self.given_up += 1
                self._refuse(asked)
            else:
                self.retried += 1
                asked.call = asked.call._replace(retried=True)
                again[lane].append(asked)
        for lane, retries in again.items():
            lane.waiting[:0] = retries
            self._move_on(lane)

    # The way of a call

    def _least_loaded(self) -> ClientConnection | None:
        """Return the process with the fewest calls of ours. Of several, the one that was not chosen for longest.

        None if there is no process, or all are full.
        """
        best = None
        least = 0
        for target in self._targets:
            load = len(target.pending)
            better = best is None or load < least or (load == least and target.used < best.used)
            if better and not target.full:
                best, least = target, load
        if best is not None:
            self._uses += 1
            best.used = self._uses
        return best

    def _send(self, asked: Asked, lane: UserLane, target: ClientConnection, seconds: float) -> None:
        if target.full:
            self._refuse(asked)
            return
        try:
            target.ask(asked, int(seconds * 1000))
        except CodecError as error:
            log.error("call refused", method=asked.call.method, uid=asked.call.uid, error=str(error))
            self._finish(asked, Reply(Code.INVALID_DATA))
            return
        asked.sent = True
        lane.sent += 1

    def _come_back(self, lane: UserLane) -> None:
        """Count a finished call of the lane."""
        lane.sent -= 1
        if not lane.sent:
            if lane.waiting:
                self._move_on(lane)
            else:
                self._clear_away(lane)

    def _move_on(self, lane: UserLane) -> None:
        """Choose a new process for a lane without calls at any process."""
        target = lane.target = self._least_loaded()
        if target is None and not self._targets:
            # Calls that no process has had are refused, like new calls. Calls of a broken process wait for another
            # one.
            untried = [asked for asked in lane.waiting if not asked.tries]
            lane.waiting = [asked for asked in lane.waiting if asked.tries]
            for asked in untried:
                self._refuse(asked)
            if lane.waiting:
                self._stranded[lane] = None
            else:
                self._clear_away(lane)
            return
        waiting, lane.waiting = lane.waiting, []
        now = self._loop.time()
        for asked in waiting:
            if asked.deadline <= now or asked.done():
                self._time_out(asked)
            elif target is None:
                self._refuse(asked)
            else:
                self._send(asked, lane, target, asked.deadline - now)
        self._clear_away(lane)

    def _clear_away(self, lane: UserLane) -> None:
        if not lane.sent and not lane.waiting:
            self._stranded.pop(lane, None)
            if self.lanes.get(lane.uid) is lane:
                del self.lanes[lane.uid]

    def _refuse(self, asked: Asked) -> None:
        self.refused += 1
        self._finish(asked, Reply(Code.SERVER_ERROR))

    def _finish(self, asked: Asked, reply: Reply) -> None:
        self.under_way -= 1
        self._bytes -= len(asked.call.body)
        asked.lane = None
        asked.call = FORGOTTEN
        if not asked.done():
            asked.set_result(reply)

    def _time_out(self, asked: Asked) -> None:
        """End a call whose deadline has passed, or whose caller has cancelled it."""
        self.timed_out += 1
        self._finish(asked, Reply(Code.TIMEOUT))

    def _give_up(self, asked: Asked) -> None:
        lane = asked.lane
        if lane is None or asked.done():
            return  # the end of another call has just decided this one
        self._time_out(asked)
        if asked.sent:
            self._come_back(lane)
        else:
            lane.waiting.remove(asked)
            self._clear_away(lane)
