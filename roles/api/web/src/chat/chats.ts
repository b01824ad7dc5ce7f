/** The list of conversations, and what is new in it. */

import { defineStore } from "pinia";
import { computed } from "vue";
import { useLive } from "./live";
import { usePeople } from "./people";
import { useSession } from "./session";

const ACCEPTABLE_MS = 7 * 86_400_000;
/** After 7 days a friend request can no longer be accepted (contract.md section 8). */

export const useChats = defineStore("chats", () => {
  const session = useSession();
  const people = usePeople();

  const rows = useLive(
    async () => (session.here ? session.here.db.conversations.orderBy("timestamp").reverse().toArray() : []),
    [],
    [() => session.here],
  );

  const all = computed(() => {
    const top = rows.value.filter((row) => people.isTop(row.key));
    return [...top, ...rows.value.filter((row) => !people.isTop(row.key))];
  });

  const unread = computed(() =>
    rows.value.reduce((sum, row) => sum + (people.isMuted(row.key) && !row.mentioned ? 0 : row.unread), 0),
  );

  const received = computed(() =>
    people.requests
      .filter((one) => one.direction === 1)
      .sort((one, other) => Number(other.timestamp) - Number(one.timestamp)),
  );
  const newRequests = computed(
    () => received.value.filter((one) => one.status === 0 && Date.now() - Number(one.timestamp) < ACCEPTABLE_MS).length,
  );

  return { rows, all, unread, received, newRequests };
});
