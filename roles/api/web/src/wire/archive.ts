/** Puts messages into the database: each once, with what they mean for their conversation. */

import { type ConversationRow, type Database, emptyConversation, type MessageRow, type ReactionRow } from "./database";
import { callIdOf, type CallOutcome } from "./callSignal";
import { utf8ToBase64 } from "./crypto";
import {
  content,
  conversationOf,
  isCounted,
  keyOf,
  Kind,
  Mention,
  padded,
  type Reaction,
  Type,
  type WireMessage,
} from "./types";

/** Among so many of the newest messages of a conversation a call is looked for. */
const CALL_WITHIN = 200;

const TRANSPARENT = new Set<number>([
  Type.TYPING,
  Type.CALL_ANSWER,
  Type.CALL_BYE,
  Type.CALL_SIGNAL,
  Type.CALL_MODIFY,
  Type.CALL_ANSWER_AUDIO,
]);

export const isTransparent = (message: WireMessage): boolean => TRANSPARENT.has(message.content.type);

export function rowOf(message: WireMessage, me: string): MessageRow {
  return {
    id: padded(message.messageId),
    conv: keyOf(conversationOf(message, me)),
    from: message.from,
    timestamp: Number(message.timestamp),
    local: message.localMessageId || "0",
    tos: Array.isArray(message.tos) ? message.tos : [],
    content: message.content,
    edited: Number(message.editedDt ?? 0),
  };
}

const reactionOf = ({ messageUid, uid, emoji, updateDt }: Reaction): ReactionRow => ({
  id: padded(messageUid),
  uid,
  emoji,
  at: Number(updateDt),
});

/** How many messages a browser keeps, and of one conversation where there are more. */
const MOST_KEPT = 50_000;
const MOST_OF_ONE = 1000;

const isStartOf = ({ content: made }: MessageRow, id: string): boolean =>
  made.type === Type.CALL_START && callIdOf(made) === id;

/** What this browser knows of calls is not in their messages as they come again. */
function keepCalls(rows: MessageRow[], known: (MessageRow | undefined)[]): void {
  for (const [at, row] of rows.entries()) {
    const call = known[at]?.call;
    if (call) row.call = call;
  }
}

export class Archive {
  constructor(
    readonly db: Database,
    readonly me: string,
  ) {}

  /** Keep messages of the inbox. Returns those that are new here. `quiet`: they are not unread. */
  async take(messages: WireMessage[], quiet: boolean): Promise<MessageRow[]> {
    const rows = messages.filter((one) => !isTransparent(one)).map((one) => rowOf(one, this.me));
    const { db } = this;
    return db.transaction("rw", db.messages, db.conversations, db.outbox, async () => {
      const known = await db.messages.bulkGet(rows.map((row) => row.id));
      const fresh = rows.filter((_, at) => !known[at]);
      keepCalls(rows, known);
      const conversations = await this.conversations(rows);
      for (const row of fresh) this.note(conversations.get(row.conv)!, row, quiet);
      // A message that is here already may have been recalled meanwhile.
      for (const row of rows) {
        const conversation = conversations.get(row.conv)!;
        if (conversation.last?.id === row.id) conversation.last = row;
      }
      const sent = fresh.filter((row) => row.from === this.me && row.local !== "0").map((row) => row.local);
      if (sent.length) await db.outbox.where("local").anyOf(sent).delete();
      await db.messages.bulkPut(rows);
      await db.conversations.bulkPut([...conversations.values()]);
      return fresh;
    });
  }

  /** Keep older messages of one conversation; `whole`: there are no older ones. */
  async takeOlder(key: string, messages: WireMessage[], whole: boolean): Promise<void> {
    const rows = messages.map((one) => rowOf(one, this.me)).filter((row) => row.conv === key);
    const { db } = this;
    await db.transaction("rw", db.messages, db.conversations, async () => {
      keepCalls(rows, await db.messages.bulkGet(rows.map((row) => row.id)));
      await db.messages.bulkPut(rows);
      const conversation = (await db.conversations.get(key)) ?? emptyConversation(key);
      conversation.whole = whole;
      const newest = rows.reduce<MessageRow | null>((last, row) => (last && last.id > row.id ? last : row), null);
      if (newest && (!conversation.last || conversation.last.id < newest.id)) {
        conversation.last = newest;
        conversation.timestamp = Math.max(conversation.timestamp, newest.timestamp);
      }
      await db.conversations.put(conversation);
    });
  }

  /** A message was recalled by a user (contract.md section 8, MR). */
  async recalled(messageId: string, operator: string): Promise<void> {
    const { db } = this;
    await db.transaction("rw", db.messages, db.conversations, async () => {
      const row = await db.messages.get(padded(messageId));
      if (!row) return;
      row.content = content(Type.RECALLED, { content: operator, binaryContent: utf8ToBase64(messageId) });
      await db.messages.put(row);
      const conversation = await db.conversations.get(row.conv);
      if (conversation?.last?.id === row.id) await db.conversations.update(row.conv, { last: row });
    });
  }

  /** Messages that are here have a new content (contract.md section 8, ME). */
  async edited(messages: WireMessage[]): Promise<void> {
    const { db } = this;
    await db.transaction("rw", db.messages, db.conversations, async () => {
      for (const row of messages.map((one) => rowOf(one, this.me))) {
        const known = await db.messages.get(row.id);
        if (!known || known.content.type === Type.RECALLED || (known.edited ?? 0) > (row.edited ?? 0)) continue;
        await db.messages.put(row);
        const conversation = await db.conversations.get(row.conv);
        if (conversation?.last?.id === row.id) await db.conversations.update(row.conv, { last: row });
      }
    });
  }

  /** Keep how a call ended with the message that started it, if that is here. */
  async callEnded(key: string, id: string, outcome: CallOutcome): Promise<void> {
    const { db } = this;
    await db.transaction("rw", db.messages, db.conversations, async () => {
      const rows = db.messages.where("[conv+id]").between([key, ""], [key, "\uffff"]).reverse();
      const row = await rows
        .limit(CALL_WITHIN)
        .filter((one) => isStartOf(one, id))
        .first();
      if (!row) return;
      row.call = outcome;
      await db.messages.put(row);
      const conversation = await db.conversations.get(key);
      if (conversation?.last?.id === row.id) await db.conversations.update(key, { last: row });
    });
  }

  /** A user reacts with these emoji now: the newest word of a user counts. */
  async reacted(reaction: Reaction): Promise<void> {
    const { reactions } = this.db;
    const row = reactionOf(reaction);
    await this.db.transaction("rw", reactions, async () => {
      const known = await reactions.get([row.id, row.uid]);
      if (!known || known.at <= row.at) await reactions.put(row);
    });
  }

  /** Keep all reactions that messages with these ids have, in place of those that are here. */
  async takeReactions(ids: string[], found: Reaction[]): Promise<void> {
    const { reactions } = this.db;
    await this.db.transaction("rw", reactions, async () => {
      await reactions.where("id").anyOf(ids).delete();
      await reactions.bulkPut(found.map(reactionOf));
    });
  }

  /** Delete the oldest messages of long conversations where there are more than `most` in all; history has them. */
  async prune(most = MOST_KEPT, each = MOST_OF_ONE): Promise<void> {
    const { db } = this;
    if ((await db.messages.count()) <= most) return;
    for (const key of await db.conversations.toCollection().primaryKeys()) {
      await db.transaction("rw", db.messages, db.conversations, db.reactions, async () => {
        const rows = db.messages.where("[conv+id]").between([key, ""], [key, "\uffff"]);
        const older = await rows.reverse().offset(each).primaryKeys();
        if (!older.length) return;
        await db.messages.bulkDelete(older);
        await db.reactions.where("id").anyOf(older).delete();
        await db.conversations.update(key, { whole: false });
      });
    }
  }

  async read(key: string): Promise<void> {
    await this.db.conversations.update(key, { unread: 0, mentioned: false });
  }

  private async conversations(rows: MessageRow[]): Promise<Map<string, ConversationRow>> {
    const keys = [...new Set(rows.map((row) => row.conv))];
    const found = await this.db.conversations.bulkGet(keys);
    return new Map(keys.map((key, at) => [key, found[at] ?? emptyConversation(key)]));
  }

  private note(conversation: ConversationRow, row: MessageRow, quiet: boolean): void {
    if (conversation.last && conversation.last.id > row.id) return;
    conversation.last = row;
    conversation.timestamp = row.timestamp;
    if (row.from === this.me) {
      // Who answers on another device has read what was there.
      if (row.content.type < Type.RECALLED) {
        conversation.unread = 0;
        conversation.mentioned = false;
      }
    } else if (!quiet && isCounted(row.content.type) && row.timestamp > conversation.readUpTo) {
      conversation.unread++;
      conversation.mentioned ||= mentions(row, this.me);
    }
  }
}

export function mentions(row: MessageRow, me: string): boolean {
  const { mentionedType, mentionedTargets } = row.content;
  const named = mentionedType === Mention.SOME && (mentionedTargets ?? []).includes(me);
  return row.conv.startsWith(`${Kind.GROUP}-`) && (named || mentionedType === Mention.ALL);
}
