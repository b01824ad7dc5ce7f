import { describe, expect, it } from "vitest";
import { Inbox, POSITION } from "../../src/wire/inbox";
import type { WireMessage } from "../../src/wire/types";
import { MadeUpLink, message, newArchive, until } from "./kit";

interface Asked {
  messageId: string;
  pullType: number;
}

/** A user's inbox on a server that answers two entries at a time. */
class MadeUpInbox {
  readonly entries: WireMessage[] = [];
  link: MadeUpLink;

  constructor(count: number) {
    for (let seq = 1; seq <= count; seq++) this.entries.push(message(seq, `m${seq}`));
    this.link = this.connect();
  }

  connect(): MadeUpLink {
    this.link = new MadeUpLink({ MP: (asked: Asked) => this.answer(asked) });
    this.link.accepted.messageHead = this.entries.length;
    return this.link;
  }

  private answer({ messageId, pullType }: Asked): object {
    const after = pullType === 1 ? Number(messageId) - 1 : Number(messageId);
    const found = after === 0 ? this.entries.slice(-2) : this.entries.slice(after, after + 2);
    const current = after === 0 ? this.entries.length : Math.min(after + found.length, this.entries.length);
    return { current: String(current), head: String(current), messageCount: found.length, messageResponseList: found };
  }
}

describe("the inbox", () => {
  it("begins with the newest, which are not unread, and goes on from there", async () => {
    const archive = newArchive();
    const server = new MadeUpInbox(10);
    const inbox = new Inbox(archive, () => {});
    await inbox.follow(server.link.link);
    await until(async () => (await archive.db.number(POSITION)) === 10);
    expect(server.link.bodies("MP")).toEqual([{ messageId: "0", type: 0, pullType: 0, sendMessageCount: 0 }]);
    expect((await archive.db.conversations.toArray())[0]!.unread).toBe(0);
    server.entries.push(message(11, "m11"));
    inbox.notify(11);
    await until(async () => (await archive.db.number(POSITION)) === 11);
    expect((await archive.db.conversations.toArray())[0]!.unread).toBe(1);
  });

  it("asks after what it has when it comes back, and never guesses by what it sent", async () => {
    const archive = newArchive();
    const server = new MadeUpInbox(3);
    await archive.db.setNumber(POSITION, 1);
    const inbox = new Inbox(archive, () => {});
    await inbox.follow(server.connect().link);
    await until(async () => (await archive.db.number(POSITION)) === 3);
    expect(server.link.bodies("MP")[0]).toEqual({ messageId: "2", type: 0, pullType: 1, sendMessageCount: 0 });
    expect(await archive.db.messages.count()).toBe(2);
  });

  it("counts the first message of somebody new as unread", async () => {
    const archive = newArchive();
    const server = new MadeUpInbox(0);
    const inbox = new Inbox(archive, () => {});
    await inbox.follow(server.link.link);
    server.entries.push(message(1, "first"));
    inbox.notify(1);
    await until(async () => (await archive.db.number(POSITION)) === 1);
    expect((await archive.db.conversations.toArray())[0]!.unread).toBe(1);
  });

  it("answers each of many notices in order, one pull at a time", async () => {
    const archive = newArchive();
    const server = new MadeUpInbox(1);
    await archive.db.setNumber(POSITION, 1);
    const inbox = new Inbox(archive, () => {});
    await inbox.follow(server.connect().link);
    for (let seq = 2; seq <= 9; seq++) server.entries.push(message(seq, `m${seq}`));
    inbox.notify(2);
    inbox.notify(4);
    await until(async () => (await archive.db.number(POSITION)) >= 3);
    for (let seq = 4; seq <= 9; seq += 2) {
      inbox.notify(seq);
      await until(async () => (await archive.db.number(POSITION)) >= Math.min(seq + 1, 9));
    }
    expect((await archive.db.messages.toArray()).map((row) => row.content.searchableContent)).toEqual(
      [2, 3, 4, 5, 6, 7, 8, 9].map((seq) => `m${seq}`),
    );
  });

  it("takes the place of a server that was installed anew", async () => {
    const archive = newArchive();
    const server = new MadeUpInbox(2);
    await archive.db.setNumber(POSITION, 500);
    const inbox = new Inbox(archive, () => {});
    await inbox.follow(server.connect().link);
    await until(async () => (await archive.db.number(POSITION)) < 500);
  });
});
