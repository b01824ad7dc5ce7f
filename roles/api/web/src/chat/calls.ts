/** The call of this tab. All tabs ring; the one that answers takes it, and a lock says that it has one. */

import { defineStore } from "pinia";
import { computed, ref, shallowRef, triggerRef, watch } from "vue";
import { Call, CALL_MS, callIdOf, type CallState, dataOf, NoMedia } from "../wire/call";
import type { MessageRow } from "../wire/database";
import type { Event } from "../wire/engine";
import { Disconnected, Refused } from "../wire/link";
import { addressOf, keyOf, Kind, Type, type WireMessage } from "../wire/types";
import { chime } from "./chime";
import { useSession } from "./session";

const SHOWN_MS = 3000;
const RING_MS = 2500;
const MOST_ENDED = 50;
const LOCK = "fsharechat-call";

export type CallProblem = "" | "media" | "elsewhere" | "refused" | "unreachable";

export const useCalls = defineStore("calls", () => {
  const session = useSession();
  const call = shallowRef<Call | null>(null);
  const problem = ref<CallProblem>("");
  const busy = computed(() => call.value !== null && call.value.state !== "ended");
  /** Calls that were ended before they rang here: the end may come first. */
  const ended = new Set<string>();
  let release: (() => void) | null = null;
  let channel: BroadcastChannel | null = null;
  let ringing: ReturnType<typeof setInterval> | undefined;

  const convOf = (peer: string) => keyOf({ kind: Kind.PRIVATE, target: peer, line: 0 });

  function make(id: string, peer: string, state: CallState, audioOnly: boolean): Call {
    const { client } = session.must;
    problem.value = "";
    const made: Call = new Call(id, peer, state, audioOnly, {
      send: (type, data) => client.sendOfCall(convOf(peer), type, id, data),
      iceServers: () => client.iceServers(),
      changed: () => changed(made),
    });
    call.value = made;
    return made;
  }

  function changed(it: Call): void {
    if (call.value !== it) return;
    triggerRef(call);
    if (it.state !== "incoming") clearInterval(ringing);
    if (it.state !== "ended") return;
    end(it.id);
    release?.();
    release = null;
    setTimeout(() => {
      if (call.value === it) call.value = null;
    }, SHOWN_MS);
  }

  function end(id: string): void {
    ended.add(id);
    if (ended.size > MOST_ENDED) ended.delete(ended.values().next().value!);
  }

  /** Take the lock, if no other tab has it. */
  function hold(): Promise<boolean> {
    return new Promise((done) => {
      void navigator.locks.request(LOCK, { ifAvailable: true }, (lock) => {
        done(lock !== null);
        return lock ? new Promise<void>((free) => (release = free)) : undefined;
      });
    });
  }

  async function attempt(it: Call, what: () => Promise<void>): Promise<void> {
    try {
      if (await hold()) return await what();
      problem.value = "elsewhere";
      it.end();
    } catch (error) {
      if (error instanceof NoMedia) problem.value = "media";
      else if (error instanceof Refused) problem.value = "refused";
      else if (error instanceof Disconnected) problem.value = "unreachable";
      else throw error;
    }
  }

  async function start(peer: string, audioOnly: boolean): Promise<void> {
    if (busy.value) return;
    const made = make(`${peer}${Date.now()}`, peer, "outgoing", audioOnly);
    await attempt(made, () => made.ring());
  }

  async function answer(): Promise<void> {
    const it = call.value;
    if (it?.state !== "incoming") return;
    channel?.postMessage(it.id);
    await attempt(it, () => it.answer());
  }

  function hangUp(): void {
    const it = call.value;
    if (it?.state === "incoming") channel?.postMessage(it.id);
    it?.hangUp();
  }

  async function incoming(row: MessageRow): Promise<void> {
    const id = callIdOf(row.content);
    if (!id || ended.has(id) || call.value?.id === id) return;
    if (busy.value) {
      const sent = session.must.client.sendOfCall(convOf(row.from), Type.CALL_BYE, id, "");
      return sent.catch(() => {}); // the caller's time-out ends it
    }
    const { held } = await navigator.locks.query();
    if (held?.some((one) => one.name === LOCK) || ended.has(id) || busy.value) return;
    const said = dataOf(row.content) as { a?: unknown } | null;
    make(id, row.from, "incoming", said?.a === 1);
    chime();
    ringing = setInterval(chime, RING_MS);
  }

  function heard(message: WireMessage): void {
    if (message.conversationType !== Kind.PRIVATE) return;
    const { content: made, from } = message;
    const id = callIdOf(made);
    const it = call.value;
    if (from === session.must.session.userId) {
      const answered = made.type === Type.CALL_ANSWER || made.type === Type.CALL_ANSWER_AUDIO;
      if (answered && it?.state === "incoming" && it.id === id) it.end(); // on another device
      return;
    }
    if (it && it.id === id && it.peer === from) it.hear(message);
    else if (made.type === Type.CALL_BYE) end(id);
  }

  function hear(event: Event): void {
    if (event.type === "transparent" && Date.now() - Number(event.message.timestamp) < CALL_MS) heard(event.message);
    if (event.type !== "fresh") return;
    for (const row of event.rows) {
      const { kind } = addressOf(row.conv);
      const rings = row.content.type === Type.CALL_START && kind === Kind.PRIVATE;
      const isNew = Date.now() - row.timestamp < CALL_MS;
      if (rings && isNew && row.from !== session.must.session.userId) void incoming(row);
    }
  }

  watch(
    () => session.here,
    (here) => {
      call.value?.end();
      call.value = null;
      channel?.close();
      channel = null;
      if (!here) return;
      here.connection.on(hear);
      channel = new BroadcastChannel(`fsharechat-call-${here.session.userId}`);
      channel.onmessage = ({ data }: MessageEvent<string>) => {
        end(data);
        if (call.value?.id === data) call.value.end();
      };
    },
    { immediate: true },
  );
  addEventListener("pagehide", () => {
    if (call.value?.state !== "incoming") call.value?.hangUp(); // other tabs and devices may still answer
  });

  return { call, problem, busy, start, answer, hangUp };
});
