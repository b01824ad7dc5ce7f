/** The call of this tab. All tabs ring; the one that answers takes it, and a lock says that it has one. */

import { defineStore } from "pinia";
import { computed, ref, shallowRef, triggerRef, watch } from "vue";
import type { BaseCall, CallState } from "../wire/baseCall";
import type { Call } from "../wire/call";
import { CALL_MS, type CallEnd, callIdOf, isVoice, NoMedia } from "../wire/callSignal";
import type { MessageRow } from "../wire/database";
import type { Event } from "../wire/engine";
import type { GroupCall, GroupCallHooks } from "../wire/groupCall";
import { Disconnected, Refused } from "../wire/link";
import { addressOf, conversationOf, keyOf, Kind, Type, type WireMessage } from "../wire/types";
import { chime } from "./chime";
import { useSession } from "./session";

const SHOWN_MS = 3000;
const RING_MS = 2500;
const MOST_ENDED = 50;
const LOCK = "fsharechat-call";
/** So long a call in a group may be joined by its message: nobody says that it goes on. */
const JOIN_MS = 60 * 60_000;

export type CallProblem = "" | "media" | "elsewhere" | "refused" | "unreachable" | "gone";

export const useCalls = defineStore("calls", () => {
  const session = useSession();
  /** A call between two people, or in a group: one of these has it. */
  const call = shallowRef<Call | null>(null);
  const group = shallowRef<GroupCall | null>(null);
  const problem = ref<CallProblem>("");
  /** A call is about to begin: what it needs is being loaded. */
  const beginning = ref(false);
  const current = (): BaseCall | null => call.value ?? group.value;
  const busy = computed(() => beginning.value || current()?.over === false);
  /** Calls that were ended before they rang here: the end may come first. */
  const ended = new Set<string>();
  /** When calls in groups ended, ms of the server: their end has no id. */
  const groupsEnded = new Map<string, number>();
  let release: (() => void) | null = null;
  let channel: BroadcastChannel | null = null;
  let ringing: ReturnType<typeof setInterval> | undefined;

  const me = () => session.must.session.userId;
  const convOf = (peer: string) => keyOf({ kind: Kind.PRIVATE, target: peer, line: 0 });

  async function makePrivate(id: string, peer: string, state: CallState, audioOnly: boolean): Promise<Call> {
    const made: Call = new (await import("../wire/call")).Call(id, peer, state, audioOnly, {
      send: async (type, data) => {
        const sent = await session.must.client.sendOfCall(convOf(peer), type, id, data);
        if (type === Type.CALL_START) await session.must.client.keep(sent);
      },
      iceServers: () => session.must.client.iceServers(),
      changed: () => changed(made),
    });
    return show(made, made, null);
  }

  async function makeGroup(
    id: string,
    target: string,
    invited: string[],
    state: CallState,
    audioOnly: boolean,
    mine: boolean,
  ): Promise<GroupCall> {
    const { GroupCall: Made } = await import("../wire/groupCall");
    const conv = keyOf({ kind: Kind.GROUP, target, line: 0 });
    let started: Promise<WireMessage> | null = null;
    const hooks: GroupCallHooks = {
      send: (type, callId, data, tos) => {
        const sent = session.must.client.sendOfCall(conv, type, callId, data, tos);
        if (type === Type.CALL_START) started = sent;
        return sent;
      },
      begun: () => void started?.then((sent) => session.here?.client.keep(sent)),
      changed: () => changed(made),
    };
    const made: GroupCall = new Made(id, target, me(), invited, state, audioOnly, hooks, mine);
    return show(made, null, made);
  }

  function show<T extends BaseCall>(made: T, ofTwo: Call | null, ofGroup: GroupCall | null): T {
    problem.value = "";
    call.value = ofTwo;
    group.value = ofGroup;
    return made;
  }

  function changed(it: BaseCall): void {
    if (current() !== it) return;
    triggerRef(call);
    triggerRef(group);
    if (it.state !== "incoming") clearInterval(ringing);
    if (!it.over) return;
    end(it.id);
    if (it.how) note(it.conv, it.id, it.how, it.seconds);
    release?.();
    release = null;
    setTimeout(() => {
      if (current() === it) call.value = group.value = null;
    }, SHOWN_MS);
  }

  function note(conv: string, id: string, how: CallEnd, seconds = 0): void {
    void session.here?.client.callEnded(conv, id, { how, seconds });
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

  async function heldElsewhere(): Promise<boolean> {
    const { held } = await navigator.locks.query();
    return Boolean(held?.some((one) => one.name === LOCK));
  }

  async function attempt(it: BaseCall, what: () => Promise<void>): Promise<void> {
    try {
      if (await hold()) return await what();
      problem.value = "elsewhere";
      it.end("");
    } catch (error) {
      if (error instanceof NoMedia) problem.value = "media";
      else if (error instanceof Refused) problem.value = it.how === "closed" ? "gone" : "refused";
      else if (error instanceof Disconnected) problem.value = "unreachable";
      else throw error;
    }
  }

  /** Make a call of this tab, unless it has one. */
  async function begin<T extends BaseCall>(make: () => Promise<T>, what: (made: T) => Promise<void>): Promise<void> {
    if (busy.value) return;
    beginning.value = true;
    const made = await make().finally(() => (beginning.value = false));
    await attempt(made, () => what(made));
  }

  const start = (peer: string, audioOnly: boolean) =>
    begin(
      () => makePrivate(`${peer}${Date.now()}`, peer, "outgoing", audioOnly),
      (made) => made.ring(),
    );

  const startInGroup = (target: string, invited: string[], audioOnly: boolean) =>
    begin(
      () => makeGroup(`${target}${Date.now()}`, target, invited, "outgoing", audioOnly, true),
      (made) => made.ring(),
    );

  /** Whether the call that a message started may still go on, and this user may come in. */
  function mayJoin(row: MessageRow): boolean {
    const { kind } = addressOf(row.conv);
    if (row.content.type !== Type.CALL_START || kind !== Kind.GROUP || Date.now() - row.timestamp > JOIN_MS)
      return false;
    const left = !row.call || ["left", "refused", "missed", "failed", "elsewhere"].includes(row.call.how);
    const invited = row.from === me() || row.tos.includes(me());
    return left && invited && current()?.id !== callIdOf(row.content);
  }

  const join = (row: MessageRow) =>
    begin(
      () => {
        const invited = [...new Set([row.from, ...row.tos])].filter((uid) => uid !== me());
        const { target } = addressOf(row.conv);
        const voice = isVoice(row.content);
        return makeGroup(callIdOf(row.content), target, invited, "connecting", voice, row.from === me());
      },
      (made) => made.answer(),
    );

  async function answer(): Promise<void> {
    const it = current();
    if (it?.state !== "incoming") return;
    channel?.postMessage(it.id);
    await attempt(it, () => it.answer());
  }

  function hangUp(): void {
    const it = current();
    if (it?.state === "incoming") channel?.postMessage(it.id);
    it?.hangUp();
  }

  async function incoming(row: MessageRow): Promise<void> {
    const id = callIdOf(row.content);
    const { kind, target } = addressOf(row.conv);
    const isGroup = kind === Kind.GROUP;
    const wasEnded = () => ended.has(id) || (isGroup && (groupsEnded.get(row.conv) ?? 0) >= row.timestamp);
    if (!id || current()?.id === id) return;
    if (wasEnded()) return note(row.conv, id, isGroup ? "closed" : "missed");
    if (busy.value) {
      if (isGroup) return; // its message stays, and may be joined later
      note(row.conv, id, "missed");
      await session.must.client.sendOfCall(row.conv, Type.CALL_BYE, id, "").catch(() => {}); // the caller's time-out ends it
      return;
    }
    if (await heldElsewhere()) return;
    const voice = isVoice(row.content);
    beginning.value = true;
    const invited = [...new Set([row.from, ...row.tos])].filter((uid) => uid !== me());
    const made = await (
      isGroup ? makeGroup(id, target, invited, "incoming", voice, false) : makePrivate(id, row.from, "incoming", voice)
    ).finally(() => (beginning.value = false));
    if (wasEnded()) return made.end(isGroup ? "closed" : "missed");
    chime();
    ringing = setInterval(chime, RING_MS);
  }

  function heard(message: WireMessage): void {
    if (message.conversationType === Kind.GROUP) return heardInGroup(message);
    if (message.conversationType !== Kind.PRIVATE) return;
    const { content: made, from } = message;
    const id = callIdOf(made);
    const it = call.value;
    if (from === me()) {
      const answered = made.type === Type.CALL_ANSWER || made.type === Type.CALL_ANSWER_AUDIO;
      if (answered && it?.state === "incoming" && it.id === id) it.end("elsewhere");
      return;
    }
    if (it && it.id === id && it.peer === from) it.hear(message);
    else if (made.type === Type.CALL_BYE) end(id);
  }

  function heardInGroup(message: WireMessage): void {
    const { content: made, from, target } = message;
    const it = group.value;
    if (from === me() || made.type < Type.CALL_START) return;
    if (it?.group === target && !it.over) it.hear(message);
    else if (made.type === Type.CALL_BYE)
      groupsEnded.set(keyOf(conversationOf(message, me())), Number(message.timestamp));
  }

  function hear(event: Event): void {
    if (event.type === "status") group.value?.reconnected(event.status === "online");
    if (event.type === "transparent" && Date.now() - Number(event.message.timestamp) < CALL_MS) heard(event.message);
    if (event.type !== "fresh") return;
    for (const row of event.rows) {
      const { kind } = addressOf(row.conv);
      const rings = row.content.type === Type.CALL_START && (kind === Kind.PRIVATE || kind === Kind.GROUP);
      if (!rings || row.from === me()) continue;
      if (Date.now() - row.timestamp < CALL_MS) void incoming(row);
      else if (kind === Kind.PRIVATE) note(row.conv, callIdOf(row.content), "missed");
    }
  }

  watch(
    () => session.here,
    (here) => {
      current()?.end("");
      call.value = group.value = null;
      channel?.close();
      channel = null;
      if (!here) return;
      here.connection.on(hear);
      channel = new BroadcastChannel(`fsharechat-call-${here.session.userId}`);
      channel.onmessage = ({ data }: MessageEvent<string>) => {
        end(data);
        const it = current();
        if (it?.id === data) it.end("");
      };
    },
    { immediate: true },
  );
  addEventListener("pagehide", () => {
    if (current()?.state === "incoming") return; // other tabs and devices may still answer
    call.value?.hangUp();
    group.value?.hangUp(group.value.state === "outgoing"); // others who are in go on
  });

  return { call, group, current, problem, busy, start, startInGroup, mayJoin, join, answer, hangUp };
});
