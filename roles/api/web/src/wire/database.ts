/** What this browser keeps: one database a user, shared by all tabs, wiped at log-out. */

import Dexie, { type EntityTable, type Table } from "dexie";
import type { CallOutcome } from "./callSignal";
import type { Content, Friend, FriendRequest, Group, GroupMember, Setting, User } from "./types";

export interface MessageRow {
  /** The message id as text of one length, so that the order of texts is the order of messages. */
  id: string;
  conv: string;
  from: string;
  timestamp: number;
  local: string;
  tos: string[];
  content: Content;
  /** When it was last edited, ms; 0: never. Rows of an older page have none. */
  edited?: number;
  /** How the call ended that this message started, as far as this browser knows. */
  call?: CallOutcome;
}

export interface ReactionRow {
  /** The id of the message, as in MessageRow. */
  id: string;
  uid: string;
  emoji: string[];
  at: number;
}

export interface ConversationRow {
  key: string;
  last: MessageRow | null;
  /** When something was last said, ms. It orders the list. */
  timestamp: number;
  unread: number;
  /** A message that mentions this user has not been read. */
  mentioned: boolean;
  /** Up to which message this user has read, ms of the server. */
  readUpTo: number;
  /** All older messages are here: there is nothing above. */
  whole: boolean;
  draft: string;
}

export interface OutboxRow {
  n?: number;
  conv: string;
  local: string;
  timestamp: number;
  content: Content;
  tos: string[];
  state: "waiting" | "failed";
  file?: Blob;
  fileName?: string;
}

export interface ReceiptRow {
  conv: string;
  uid: string;
  delivered: number;
  read: number;
}

export type Known<T> = T & { fetched: number };

export class Database extends Dexie {
  declare messages: EntityTable<MessageRow, "id">;
  declare conversations: EntityTable<ConversationRow, "key">;
  declare outbox: Table<OutboxRow, number>;
  declare users: EntityTable<Known<User>, "uid">;
  declare groups: EntityTable<Known<Group>, "target">;
  declare members: Table<GroupMember, [string, string]>;
  declare friends: EntityTable<Friend, "friendUid">;
  declare requests: Table<FriendRequest, [number, string, string]>;
  declare settings: Table<Setting, [number, string]>;
  declare receipts: Table<ReceiptRow, [string, string]>;
  declare reactions: Table<ReactionRow, [string, string]>;
  declare meta: EntityTable<{ key: string; value: number }, "key">;

  constructor(uid: string) {
    super(`fsharechat-${uid}`);
    this.version(1).stores({
      messages: "id, [conv+id], local",
      conversations: "key, timestamp",
      outbox: "++n, conv, local",
      users: "uid",
      groups: "target",
      members: "[groupId+memberId], groupId",
      friends: "friendUid",
      requests: "[direction+from+target]",
      settings: "[scope+key]",
      receipts: "[conv+uid], conv",
      meta: "key",
    });
    this.version(2).stores({ reactions: "[id+uid], id" });
  }

  async number(key: string): Promise<number> {
    return (await this.meta.get(key))?.value ?? 0;
  }

  async setNumber(key: string, value: number): Promise<void> {
    await this.meta.put({ key, value });
  }
}

export const emptyConversation = (key: string): ConversationRow => ({
  key,
  last: null,
  timestamp: 0,
  unread: 0,
  mentioned: false,
  readUpTo: 0,
  whole: false,
  draft: "",
});
