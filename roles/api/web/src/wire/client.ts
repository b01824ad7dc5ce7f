/** What a person does, from any tab: requests, and what they change in the database. */

import { Archive } from "./archive";
import type { CallOutcome } from "./callSignal";
import { type Database, emptyConversation, type MessageRow, type OutboxRow } from "./database";
import { utf8ToBase64 } from "./crypto";
import { Disconnected } from "./link";
import { random } from "./login";
import { newLocalId } from "./outbox";
import { card, location, type Location } from "./places";
import { readReport } from "./receipts";
import { syncFriends, syncRequests } from "./sync";
import {
  addressOf,
  type Content,
  content,
  type Device,
  type Group,
  type GroupMember,
  isCounted,
  keyOf,
  Kind,
  Media,
  Member,
  Mention,
  plain,
  type Pull,
  type Reaction,
  type Reader,
  type Relays,
  Scope,
  type Setting,
  Type,
  type User,
  type WireMessage,
} from "./types";

const PAGE = 50;
const BATCH = 100;
const GATHER_MS = 30;
const MOST_REACTIONS = 5;
const FRESH_MS = 10 * 60_000;
const READ_FRIEND_REQUESTS = "friend-requests-read";

/** What `Client` needs of a connection. */
export interface Wire {
  request<T>(subSignal: string, content: unknown): Promise<T>;
  flush(): void;
}

export interface Mentioned {
  uids: string[];
  all: boolean;
}

export interface Attachment {
  file: Blob;
  name: string;
  /** Type.IMAGE, FILE, VIDEO or VOICE. */
  type: number;
  /** A small picture as base64, for pictures and videos. */
  thumbnail?: string;
  seconds?: number;
}

const MEDIA_OF: Record<number, number> = {
  [Type.IMAGE]: Media.IMAGE,
  [Type.FILE]: Media.FILE,
  [Type.VIDEO]: Media.VIDEO,
  [Type.VOICE]: Media.VOICE,
};
const DIGEST: Record<number, string> = { [Type.IMAGE]: "[图片]", [Type.VOICE]: "[语音]", [Type.VIDEO]: "[视频]" };

export class Client {
  private readonly archive: Archive;
  private readonly wanted = { users: new Set<string>(), groups: new Set<string>() };
  private gathering: ReturnType<typeof setTimeout> | null = null;

  constructor(
    readonly me: string,
    readonly db: Database,
    private readonly wire: Wire,
  ) {
    this.archive = new Archive(db, me);
  }

  // Messages

  async sendText(conv: string, text: string, mentioned: Mentioned = { uids: [], all: false }): Promise<void> {
    const some = mentioned.uids.length ? Mention.SOME : Mention.NONE;
    const made = content(Type.TEXT, {
      searchableContent: text,
      mentionedType: mentioned.all ? Mention.ALL : some,
      mentionedTargets: mentioned.all ? [] : mentioned.uids,
    });
    await this.put(conv, made);
  }

  async sendFile(conv: string, { file, name, type, thumbnail = "", seconds }: Attachment): Promise<void> {
    const made = content(type, {
      searchableContent: DIGEST[type] ?? name,
      binaryContent: thumbnail,
      mediaType: MEDIA_OF[type] ?? Media.FILE,
    });
    if (type === Type.FILE) made.content = String(file.size);
    if (seconds !== undefined) made.content = JSON.stringify({ duration: Math.max(1, Math.round(seconds)) });
    await this.put(conv, made, { file, fileName: name });
  }

  async sendLocation(conv: string, where: Location, title: string, picture: string): Promise<void> {
    await this.put(conv, location(where, title, picture));
  }

  /** Send the card of a user whose profile is here. */
  async sendCard(conv: string, uid: string): Promise<void> {
    const user = await this.db.users.get(uid);
    if (user) await this.put(conv, card(user));
  }

  /** Send what somebody said to another conversation. */
  async forward(row: MessageRow, conv: string): Promise<void> {
    await this.put(conv, { ...row.content, mentionedType: Mention.NONE, mentionedTargets: [] });
  }

  async typing(conv: string): Promise<void> {
    await this.sendNow(conv, content(Type.TYPING, { content: "0" }));
  }

  /** Send a message of a call, in a group to those that it names (calls.md section 9.1). Returns it as it was sent. */
  sendOfCall(conv: string, type: number, id: string, data: string, tos: string[] = []): Promise<WireMessage> {
    const made = content(type, { content: id, binaryContent: data && utf8ToBase64(data) });
    return this.sendNow(conv, made, tos);
  }

  /** Keep a message that was sent past the outbox, as the server does. */
  async keep(sent: WireMessage): Promise<void> {
    await this.archive.take([sent], false);
  }

  /** Keep how a call ended. */
  async callEnded(conv: string, id: string, outcome: CallOutcome): Promise<void> {
    await this.archive.callEnded(conv, id, outcome);
  }

  /** What WebRTC may use to get through to others (TURN). */
  async iceServers(): Promise<RTCIceServer[]> {
    const { urls, username, credential } = await this.wire.request<Relays>("TURN", { version: "0" });
    return urls.length ? [{ urls, username, credential }] : [];
  }

  async retry(n: number): Promise<void> {
    await this.db.outbox.update(n, { state: "waiting" });
    this.wire.flush();
  }

  async discard(n: number): Promise<void> {
    await this.db.outbox.delete(n);
  }

  async recall(row: MessageRow): Promise<void> {
    await this.wire.request("MR", { messageUid: plain(row.id) });
    await this.archive.recalled(plain(row.id), this.me);
  }

  /** Give an own text another text, at everybody who has it. */
  async edit(row: MessageRow, text: string): Promise<void> {
    const made = { ...row.content, searchableContent: text };
    await this.wire.request("ME", { messageUid: plain(row.id), content: made });
    const found = await this.wire.request<Pull>("MGI", { messageUids: [plain(row.id)] });
    await this.archive.edited(found.messageResponseList);
  }

  /** React to a message with an emoji, or take it back. */
  async react(row: MessageRow, emoji: string): Promise<void> {
    const own = (await this.db.reactions.get([row.id, this.me]))?.emoji ?? [];
    const now = own.includes(emoji) ? own.filter((one) => one !== emoji) : [...own, emoji].slice(-MOST_REACTIONS);
    await this.wire.request("REA", { messageUid: plain(row.id), emoji: now });
    await this.refreshReactions([row.id]);
  }

  /** Ask for the reactions to up to 100 messages; `ids` as in MessageRow. */
  async refreshReactions(ids: string[]): Promise<void> {
    const found = await this.wire.request<Reaction[]>("REL", { messageUids: ids.map(plain) });
    await this.archive.takeReactions(ids, found);
  }

  /** Delete a message in this browser alone. */
  async deleteHere(row: MessageRow): Promise<void> {
    await this.db.messages.delete(row.id);
    const last = await this.newest(row.conv, 1);
    await this.db.conversations.update(row.conv, { last: last[0] ?? null });
  }

  /** The newest messages of a conversation that are here, oldest first. */
  async newest(conv: string, count: number): Promise<MessageRow[]> {
    const rows = this.db.messages.where("[conv+id]").between([conv, ""], [conv, "\uffff"]);
    return (await rows.reverse().limit(count).toArray()).reverse();
  }

  /**
   * The messages of a conversation that are here from `first` to `last`, ids both (null: the newest `count`; to the
   * newest). `beginning`: nothing is older than they are.
   */
  async between(
    conv: string,
    first: string | null,
    last: string | null,
    count: number,
  ): Promise<{ rows: MessageRow[]; beginning: boolean }> {
    const { messages, conversations } = this.db;
    const span = (from: string) =>
      messages.where("[conv+id]").between([conv, from], [conv, last ?? "\uffff"], true, true);
    const rows = first === null ? await this.newest(conv, count) : await span(first).toArray();
    const whole = Boolean((await conversations.get(conv))?.whole);
    const beginning = whole && (!rows.length || !(await this.before(conv, rows[0]!.id, 1)).length);
    return { rows, beginning };
  }

  /** Up to `count` messages that are here just before one, oldest first. */
  async before(conv: string, id: string, count: number): Promise<MessageRow[]> {
    const rows = this.db.messages.where("[conv+id]").between([conv, ""], [conv, id], true, false);
    return (await rows.reverse().limit(count).toArray()).reverse();
  }

  /** Up to `count` messages that are here just after one, oldest first. */
  async after(conv: string, id: string, count: number): Promise<MessageRow[]> {
    const rows = this.db.messages.where("[conv+id]").between([conv, id], [conv, "\uffff"], false, true);
    return rows.limit(count).toArray();
  }

  /** Keep the newest messages alone where there are many. Who looks at older ones fetches them again. */
  async tidy(): Promise<void> {
    await this.archive.prune();
  }

  /** Fetch older messages than `before` (null: the newest). Returns whether there may be more. */
  async older(conv: string, before: MessageRow | null): Promise<boolean> {
    const { kind, target, line } = addressOf(conv);
    const beforeUid = before ? plain(before.id) : "0";
    const answer = await this.wire.request<Pull>("LRM", {
      beforeUid,
      count: PAGE,
      conversation: { type: kind, conversationType: kind, target, line },
    });
    const whole = answer.messageResponseList.length === 0;
    await this.archive.takeOlder(conv, answer.messageResponseList, whole);
    return !whole;
  }

  /** The person has seen a conversation up to its end. */
  async markRead(conv: string): Promise<void> {
    const row = await this.db.conversations.get(conv);
    if (!row) return;
    if (row.unread || row.mentioned) await this.archive.read(conv);
    const recent = (await this.newest(conv, PAGE)).filter(
      (one) => one.from !== this.me && isCounted(one.content.type) && one.timestamp > row.readUpTo,
    );
    const date = recent.at(-1)?.timestamp;
    if (date === undefined) return;
    await this.db.conversations.update(conv, { readUpTo: date });
    try {
      await this.wire.request("MRR", readReport(conv, date, [...new Set(recent.map((one) => one.from))]));
    } catch (error) {
      if (error instanceof Disconnected) await this.db.conversations.update(conv, { readUpTo: row.readUpTo });
      else throw error;
    }
  }

  // Conversations

  /** Make sure that a conversation is in the list. */
  async open(conv: string): Promise<void> {
    await this.db.transaction("rw", this.db.conversations, async () => {
      if (await this.db.conversations.get(conv)) return;
      await this.db.conversations.put({ ...emptyConversation(conv), timestamp: Date.now() });
    });
  }

  async deleteConversation(conv: string): Promise<void> {
    const { db } = this;
    await db.transaction("rw", db.conversations, db.messages, db.reactions, async () => {
      const ids = await db.messages.where("[conv+id]").between([conv, ""], [conv, "\uffff"]).primaryKeys();
      await db.messages.bulkDelete(ids);
      await db.reactions.where("id").anyOf(ids).delete();
      await db.conversations.delete(conv);
    });
  }

  async setDraft(conv: string, draft: string): Promise<void> {
    await this.db.conversations.update(conv, { draft });
  }

  async set(scope: number, key: string, value: string): Promise<void> {
    const { version } = await this.wire.request<{ version: string }>("UP", { scope, key, value });
    await this.db.settings.put({ scope, key, value, updateDt: version } satisfies Setting);
  }

  setTop = (conv: string, on: boolean) => this.set(Scope.TOP, conv, on ? "1" : "0");
  setMuted = (conv: string, on: boolean) => this.set(Scope.MUTED, conv, on ? "1" : "0");

  // People

  /** Fetch the profile of a user soon, unless it is here and fresh. */
  needUser(uid: string): void {
    this.want("users", uid);
  }

  needGroup(id: string): void {
    this.want("groups", id);
  }

  async search(keyword: string): Promise<User[]> {
    const found = await this.wire.request<User[]>("US", { keyword, fuzzy: 1, page: 0 });
    await this.keepUsers(found);
    return found;
  }

  async refreshUsers(uids: string[]): Promise<void> {
    await this.keepUsers(await this.wire.request<User[]>("UPUI", uids));
  }

  async addFriend(targetUserId: string, reason: string): Promise<void> {
    await this.wire.request("FAR", { targetUserId, reason });
    await syncRequests(this.wire, this.db);
  }

  async answerRequest(targetUid: string, accept: boolean): Promise<void> {
    await this.wire.request("FHR", { targetUid, status: accept ? 1 : 2 });
    await this.db.requests
      .where("[direction+from+target]")
      .equals([1, targetUid, this.me])
      .modify({ status: accept ? 1 : 2 });
    if (accept) await syncFriends(this.wire, this.db);
  }

  async requestsRead(): Promise<void> {
    const newest = Math.max(0, ...(await this.db.requests.toArray()).map((one) => Number(one.timestamp)));
    if (newest <= (await this.db.number(READ_FRIEND_REQUESTS))) return;
    await this.db.setNumber(READ_FRIEND_REQUESTS, newest);
    await this.wire.request("FRUS", { version: String(newest) });
  }

  async setAlias(targetUserId: string, alias: string): Promise<void> {
    await this.wire.request("FALS", { targetUserId, reason: alias });
    await syncFriends(this.wire, this.db);
  }

  async deleteFriend(targetUserId: string): Promise<void> {
    await this.wire.request("FDL", { targetUserId });
    await syncFriends(this.wire, this.db);
  }

  async blacklist(targetUserId: string, on: boolean): Promise<void> {
    await this.wire.request("BLU", { targetUserId, status: on ? 1 : 0 });
    await syncFriends(this.wire, this.db);
  }

  /** Change the own profile: `type` as in contract.md section 5, ModifyMyInfo. */
  async changeProfile(type: number, value: string): Promise<void> {
    await this.wire.request("MMI", { type, value });
    await this.refreshUsers([this.me]);
  }

  /** Report a user to the administrators. */
  async reportUser(uid: string, reason: string): Promise<void> {
    await this.wire.request("RPA", { uid, reason });
  }

  async reportMessage(row: MessageRow, reason: string): Promise<void> {
    await this.wire.request("RPA", { messageUid: plain(row.id), reason });
  }

  devices(): Promise<Device[]> {
    return this.wire.request<Device[]>("UDL", { version: "0" });
  }

  async logOutDevice(clientId: string): Promise<void> {
    await this.wire.request("UDK", { clientId });
  }

  // Groups

  async createGroup(name: string, uids: string[]): Promise<string> {
    const target = random(16);
    const groupMembers = [...new Set([this.me, ...uids])].map((memberId) => ({ memberId, type: Member.NORMAL }));
    await this.wire.request("GC", {
      groupInfo: { target, name, portrait: "", owner: this.me, type: 0, extra: "" },
      groupMembers,
    });
    const conv = keyOf({ kind: Kind.GROUP, target, line: 0 });
    await this.open(conv);
    await this.refreshGroups([target]);
    return conv;
  }

  async refreshGroups(ids: string[]): Promise<void> {
    const found = await this.wire.request<Group[]>("GPGI", ids);
    await this.db.groups.bulkPut(found.map((one) => ({ ...one, fetched: Date.now() })));
  }

  async refreshMembers(groupId: string): Promise<void> {
    const members = await this.wire.request<GroupMember[]>("GPGM", { groupId, version: "0" });
    await this.db.transaction("rw", this.db.members, async () => {
      await this.db.members.where("groupId").equals(groupId).delete();
      await this.db.members.bulkPut(members.map((one) => ({ ...one, groupId })));
    });
    for (const one of members) this.needUser(one.memberId);
  }

  async invite(groupId: string, uids: string[]): Promise<void> {
    const groupMembers = uids.map((memberId) => ({ memberId, type: Member.NORMAL }));
    await this.changeGroup(groupId, "GAM", { groupMembers });
  }

  async kick(groupId: string, uids: string[]): Promise<void> {
    await this.changeGroup(groupId, "GKM", { memberIds: uids });
  }

  /** Change a group: `type` as in contract.md section 5, ModifyGroupInfo. */
  async modifyGroup(groupId: string, type: number, value: string): Promise<void> {
    await this.changeGroup(groupId, "GMI", { type, value });
  }

  /** Give members a type: NORMAL, MANAGER or SILENCED, this `until` a time (ms; 0: without end). */
  async setMemberType(groupId: string, uids: string[], type: number, until = 0): Promise<void> {
    await this.changeGroup(groupId, "GSM", { type, memberIds: uids, until });
  }

  async transferGroup(groupId: string, newOwner: string): Promise<void> {
    await this.changeGroup(groupId, "GTG", { newOwner });
  }

  /** Set the own name in a group, "": none. */
  async setGroupAlias(groupId: string, alias: string): Promise<void> {
    await this.changeGroup(groupId, "GMA", { alias });
  }

  readers(groupId: string): Promise<Reader[]> {
    return this.wire.request<Reader[]>("GRL", { groupId, line: 0 });
  }

  async leaveGroup(groupId: string, dismiss: boolean): Promise<void> {
    await this.wire.request(dismiss ? "GD" : "GQ", { groupId });
    await this.deleteConversation(keyOf({ kind: Kind.GROUP, target: groupId, line: 0 }));
    await this.db.groups.delete(groupId);
  }

  private async changeGroup(groupId: string, subSignal: string, fields: object): Promise<void> {
    await this.wire.request(subSignal, { groupId, ...fields });
    await this.refreshGroups([groupId]);
    await this.refreshMembers(groupId);
  }

  /** Send what is of no use later: it does not wait in the outbox. */
  private async sendNow(conv: string, made: Content, tos: string[] = []): Promise<WireMessage> {
    const { kind, target, line } = addressOf(conv);
    const local = newLocalId();
    const message: WireMessage = {
      conversationType: kind,
      target,
      line,
      from: this.me,
      tos: tos.length ? tos : "",
      messageId: local,
      localMessageId: local,
      direction: 0,
      status: 0,
      timestamp: Date.now(),
      content: made,
    };
    const stored = await this.wire.request<{ messageId: string; timestamp: number }>("MS", message);
    return { ...message, ...stored };
  }

  private async put(conv: string, made: Content, file: Pick<OutboxRow, "file" | "fileName"> = {}): Promise<void> {
    const timestamp = Date.now();
    const row: OutboxRow = { conv, local: newLocalId(), timestamp, content: made, tos: [], state: "waiting", ...file };
    await this.db.transaction("rw", this.db.outbox, this.db.conversations, async () => {
      await this.db.outbox.add(row);
      const conversation = (await this.db.conversations.get(conv)) ?? emptyConversation(conv);
      await this.db.conversations.put({ ...conversation, timestamp, draft: "" });
    });
    this.wire.flush();
  }

  private want(what: "users" | "groups", id: string): void {
    if (!id) return;
    this.wanted[what].add(id);
    this.gathering ??= setTimeout(() => {
      this.gathering = null;
      void this.fetchWanted().catch(() => {}); // asked for again when it is shown again
    }, GATHER_MS);
  }

  private async fetchWanted(): Promise<void> {
    const { users, groups } = this.wanted;
    const late = Date.now() - FRESH_MS;
    const uids = [...users].splice(0, BATCH);
    const ids = [...groups].splice(0, BATCH);
    for (const uid of uids) users.delete(uid);
    for (const id of ids) groups.delete(id);
    const knownUsers = await this.db.users.bulkGet(uids);
    const missing = uids.filter((_, at) => (knownUsers[at]?.fetched ?? 0) < late);
    if (missing.length) await this.refreshUsers(missing);
    const knownGroups = await this.db.groups.bulkGet(ids);
    const unknown = ids.filter((_, at) => (knownGroups[at]?.fetched ?? 0) < late);
    if (unknown.length) await this.refreshGroups(unknown);
    for (const uid of users) this.want("users", uid);
    for (const id of groups) this.want("groups", id);
  }

  private async keepUsers(found: User[]): Promise<void> {
    await this.db.users.bulkPut(found.map((one) => ({ ...one, fetched: Date.now() })));
  }
}
