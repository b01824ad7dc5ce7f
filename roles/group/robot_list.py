"""The robots that there are: those of the settings, and those of the back office."""

from collections.abc import Iterable

import structlog
from pydantic import ValidationError

from fsharechat.bus import Bus
from fsharechat.errors import StartError
from fsharechat.settings_schema import AgentSettings
from fsharechat.store import robots
from fsharechat.store.store import Store
from roles.group.agents import Agents
from roles.group.clock import ServerClock
from roles.group.copies import SharedCopy

log = structlog.get_logger(__name__)

ROBOTS_KEY = "robots:"
"""The key for changes of the robots on the bus. No uid has a colon."""


class RobotList:
    """Every group process has all robots of the back office, and follows their changes."""

    def __init__(self, agents: Iterable[AgentSettings], store: Store, bus: Bus, clock: ServerClock) -> None:
        """`agents` are those of the settings, which nobody changes at run time."""
        self.fixed = {agent.uid: agent for agent in agents}
        self.agents: dict[str, AgentSettings] = dict(self.fixed)
        """By the uid of the robot. It stays the same object."""
        self._store = store
        self._clock = clock
        self._copy = SharedCopy("robots", ROBOTS_KEY, robots.VERSION, store, bus, self._load)

    async def start(self) -> None:
        """Make the users that robots are. Raises StoreError, and StartError if an agent cannot be asked."""
        for agent in self.fixed.values():
            if missing := await Agents.prepare(agent):
                raise StartError(f"[robots] agents: {agent.uid}: {missing}")
            now = self._clock.now()
            await self._store.write(robots.keep_user, agent.uid, agent.name, agent.portrait, now)
        await self._copy.start()

    def stop(self) -> None:
        self._copy.stop()

    def changed(self) -> None:
        """Tell every group process that the robots have changed."""
        self._copy.changed()

    async def _load(self) -> bytes:
        version, kept = await self._store.read(robots.agents)
        found: dict[str, AgentSettings] = {}
        for uid, text in kept.items():
            try:
                found[uid] = AgentSettings.model_validate_json(text)
            except ValidationError as error:  # of a later version
                log.error(
                    "a robot is passed over", robot=uid, reason=f"{error.error_count()} fields are unknown"
                )
                continue
            if missing := await Agents.prepare(found[uid]):
                log.error("a robot is passed over", robot=uid, reason=missing)
                del found[uid]
        found |= self.fixed
        for uid in self.agents.keys() - found.keys():
            del self.agents[uid]
        self.agents.update(found)
        log.info("robots read", count=len(found))
        return version
