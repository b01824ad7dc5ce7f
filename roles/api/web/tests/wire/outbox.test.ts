import { describe, expect, it } from "vitest";
import { Client } from "../../src/wire/client";
import { Disconnected } from "../../src/wire/link";
import { newLocalId, Outbox } from "../../src/wire/outbox";
import type { WireMessage } from "../../src/wire/types";
import { MadeUpLink, newArchive, until, WITH_ANN } from "./kit";

/** Stores each local id once, as the contract asks; it may lose answers. */
class MadeUpStore {
  readonly stored = new Map<string, { messageId: string; text: string }>();
  lose = 0;

  readonly link = (): MadeUpLink => {
    const made = new MadeUpLink({
      MS: (asked: WireMessage) => {
        const known = this.stored.get(asked.localMessageId) ?? {
          messageId: String(this.stored.size + 1),
          text: asked.content.searchableContent,
        };
        this.stored.set(asked.localMessageId, known);
        if (this.lose-- > 0) {
          made.ended = true;
          throw new Disconnected("the answer was lost");
        }
        return { messageId: known.messageId, timestamp: 1_700_000_000_000 };
      },
    });
    return made;
  };
}

function outboxOf() {
  const archive = newArchive();
  const outbox = new Outbox(archive, async () => {});
  const client = new Client("me", archive.db, { request: () => Promise.reject(new Disconnected("")), flush: () => {} });
  return { archive, outbox, client };
}

describe("the outbox", () => {
  it("sends what was written without a connection, in order", async () => {
    const { archive, outbox, client } = outboxOf();
    const store = new MadeUpStore();
    for (const text of ["a", "b", "c"]) await client.sendText(WITH_ANN, text);
    await outbox.flush(store.link().link);
    await until(async () => (await archive.db.outbox.count()) === 0);
    expect([...store.stored.values()].map((one) => one.text)).toEqual(["a", "b", "c"]);
    expect(await archive.db.messages.count()).toBe(3);
  });

  it("sends again what it has no answer to, and it is stored once", async () => {
    const { archive, outbox, client } = outboxOf();
    const store = new MadeUpStore();
    store.lose = 1;
    for (const text of ["a", "b"]) await client.sendText(WITH_ANN, text);
    const broken = store.link();
    await outbox.flush(broken.link);
    await until(() => broken.ended);
    await outbox.flush(store.link().link);
    await until(async () => (await archive.db.outbox.count()) === 0);
    expect([...store.stored.values()].map((one) => one.text)).toEqual(["a", "b"]);
  });

  it("does not let one conversation wait for another", async () => {
    const { archive, client } = outboxOf();
    const store = new MadeUpStore();
    let uploaded = () => {};
    const outbox = new Outbox(archive, () => new Promise((done) => (uploaded = done)));
    await client.sendFile(WITH_ANN, { file: new Blob(["x"]), name: "x", type: 5 });
    await client.sendText("0-0-ben", "hello");
    await outbox.flush(store.link().link);
    await until(() => store.stored.size === 1);
    expect([...store.stored.values()][0]!.text).toBe("hello");
    uploaded();
    await until(async () => (await archive.db.outbox.count()) === 0);
  });

  it("has local ids that are no other's, and fit 63 bits", () => {
    const ids = Array.from({ length: 1000 }, newLocalId);
    expect(new Set(ids).size).toBe(1000);
    for (const id of ids) expect(BigInt(id) > 0n && BigInt(id) < 1n << 63n).toBe(true);
  });
});
