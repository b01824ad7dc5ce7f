/** Messages on their way: kept in the database until the server has them, sent in order, stored once. */

import type { Archive } from "./archive";
import { rowOf } from "./archive";
import type { OutboxRow } from "./database";
import { Disconnected, type Link, Refused } from "./link";
import { addressOf, type WireMessage } from "./types";

const LIMIT = 90;
const LIMIT_MS = 5000;
/** Below the server's limit of 100 requests in 5 s (contract.md section 8). */
const ATTEMPTS = 3;
const PAUSE_MS = 1200;

export type Upload = (link: Link, row: OutboxRow) => Promise<void>;

/** Keeps requests below a limit: `turn` waits until one more is within it. */
export class Pacer {
  private times: number[] = [];

  async turn(): Promise<void> {
    for (;;) {
      const now = Date.now();
      this.times = this.times.filter((time) => now - time < LIMIT_MS);
      if (this.times.length < LIMIT) break;
      await pause(LIMIT_MS - (now - this.times[0]!));
    }
    this.times.push(Date.now());
  }
}

const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** A local id: 62 random bits, so that no two messages of a user have the same (contract.md section 6). */
export function newLocalId(): string {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return String(((BigInt(high! & 0x3fffffff) << 32n) | BigInt(low!)) + 1n);
}

export class Outbox {
  private readonly lanes = new Map<string, Promise<void>>();
  private readonly pacer = new Pacer();
  private link: Link | null = null;

  constructor(
    private readonly archive: Archive,
    private readonly upload: Upload,
  ) {}

  /** Send what waits, on this connection. Each conversation has its order; they do not wait for one another. */
  async flush(link = this.link): Promise<void> {
    this.link = link;
    if (!link || link.ended) return;
    const rows = await this.archive.db.outbox.orderBy("n").toArray();
    for (const conv of new Set(rows.filter((row) => row.state === "waiting").map((row) => row.conv))) {
      const before = this.lanes.get(conv);
      // A lane that runs sees new rows by itself, but not if it was about to end.
      const lane = (before ?? Promise.resolve()).then(() => this.run(link, conv));
      const kept = lane.finally(() => {
        if (this.lanes.get(conv) === kept) this.lanes.delete(conv);
      });
      this.lanes.set(conv, kept);
    }
  }

  private async run(link: Link, conv: string): Promise<void> {
    const { outbox } = this.archive.db;
    while (!link.ended && link === this.link) {
      const row = (await outbox.where("conv").equals(conv).sortBy("n")).find((one) => one.state === "waiting");
      if (!row) return;
      try {
        if (row.file) await this.upload(link, row);
        await this.send(link, row);
      } catch (error) {
        if (error instanceof Disconnected) {
          // It waits for the next connection; where only an upload broke, this one goes on.
          if (!link.ended) setTimeout(() => void this.flush(), PAUSE_MS);
          return;
        }
        await outbox.update(row.n!, { state: "failed" });
      }
    }
  }

  private async send(link: Link, row: OutboxRow): Promise<void> {
    const { kind, target, line } = addressOf(row.conv);
    const message: WireMessage = {
      conversationType: kind,
      target,
      line,
      from: this.archive.me,
      tos: row.tos,
      messageId: row.local,
      localMessageId: row.local,
      direction: 0,
      status: 0,
      timestamp: row.timestamp,
      content: row.content,
    };
    for (let attempt = 1; ; attempt++) {
      await this.pacer.turn();
      try {
        const stored = await link.request<{ messageId: string; timestamp: number }>("MS", message);
        await this.stored({ ...message, ...stored });
        return;
      } catch (error) {
        // A refusal has no reason over WebSocket: it may be that of "too often". Sending again stores it once.
        if (!(error instanceof Refused) || attempt === ATTEMPTS) throw error;
        await pause(PAUSE_MS * attempt);
      }
    }
  }

  private async stored(message: WireMessage): Promise<void> {
    const { db, me } = this.archive;
    await db.transaction("rw", db.messages, db.conversations, db.outbox, async () => {
      await this.archive.take([message], false);
      await db.outbox.where("local").equals(rowOf(message, me).local).delete();
    });
  }
}
