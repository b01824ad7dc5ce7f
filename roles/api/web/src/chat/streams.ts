/** Answers of robots while they are written (calls.md section 10): kept until the message itself comes. */

import { defineStore } from "pinia";
import { ref, watch } from "vue";
import type { Event } from "../wire/engine";
import { keyOf, Kind } from "../wire/types";
import { useCompose } from "./compose";
import { useSession } from "./session";

interface Stream {
  id: string;
  conv: string;
  text: string;
}

const MOST_CHARS = 50_000;

export const useStreams = defineStore("streams", () => {
  const session = useSession();
  const compose = useCompose();
  const all = ref<Stream[]>([]);

  function hear(event: Event): void {
    if (event.type === "progress") compose.progress.set(event.local, event.share);
    if (event.type === "fresh") {
      // The next message of a conversation takes the place of what was being written.
      const convs = new Set(event.rows.map((row) => row.conv));
      all.value = all.value.filter((one) => !convs.has(one.conv));
    }
    if (event.type !== "stream") return;
    const known = all.value.find((one) => one.id === event.id);
    if (known) known.text = (known.text + event.delta).slice(0, MOST_CHARS);
    else if (!event.done) {
      const conv = keyOf({ kind: Kind.PRIVATE, target: event.robot, line: 0 });
      all.value = [...all.value, { id: event.id, conv, text: event.delta }];
    }
  }

  watch(
    () => session.here,
    (here) => {
      all.value = [];
      here?.connection.on(hear);
    },
    { immediate: true },
  );

  return { of: (conv: string) => all.value.filter((one) => one.conv === conv) };
});
