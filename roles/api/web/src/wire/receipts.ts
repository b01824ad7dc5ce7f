/** Delivery and read reports, of this user and of others (contract.md sections 7 and 8: MDR, MRR, MRN, MRP). */

import type { Archive } from "./archive";
import type { MessageRow } from "./database";
import { type Link } from "./link";
import { addressOf, keyOf, Kind, type MessageReport, Report } from "./types";

const MAX_SENDERS = 200;

interface Reports {
  current: string;
  head: string;
  messageReportList: MessageReport[];
}

const fetchedKey = (type: number) => `reports-${type}`;

export class Receipts {
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly archive: Archive) {}

  /** Tell the senders of private messages that these have arrived: one report a sender. */
  async delivered(link: Link, rows: MessageRow[]): Promise<void> {
    const latest = new Map<string, number>();
    for (const row of rows) {
      const { kind, target } = addressOf(row.conv);
      if (kind !== Kind.PRIVATE || row.from === this.archive.me) continue;
      latest.set(target, Math.max(latest.get(target) ?? 0, row.timestamp));
    }
    for (const [target, date] of latest) await link.request("MDR", { date, target });
  }

  /** An MRN: the reports after `head` - 1 must be pulled. */
  notify(link: Link, type: number, head: number): void {
    this.running = this.running.then(() => this.pull(link, type, head)).catch(() => {}); // the next MRN brings them
  }

  /** Ask for what was reported while this device was away. */
  async catchUp(link: Link): Promise<void> {
    for (const type of [Report.DELIVERED, Report.READ]) {
      this.notify(link, type, (await this.archive.db.number(fetchedKey(type))) + 1);
    }
  }

  private async pull(link: Link, type: number, head: number): Promise<void> {
    const { db } = this.archive;
    for (let from = head; ;) {
      const answer = await link.request<Reports>("MRP", { id: from, type });
      const current = Number(answer.current);
      await this.keep(answer.messageReportList);
      await db.setNumber(fetchedKey(type), current);
      if (current < from || current >= Number(answer.head)) return;
      from = current + 1;
    }
  }

  private async keep(reports: MessageReport[]): Promise<void> {
    const { receipts } = this.archive.db;
    await this.archive.db.transaction("rw", receipts, async () => {
      for (const { reportType, uid, date, target } of reports) {
        // In a private conversation the target is the reporter, else the group (section 8).
        const conv = keyOf({ kind: target === uid ? Kind.PRIVATE : Kind.GROUP, target, line: 0 });
        const row = (await receipts.get([conv, uid])) ?? { conv, uid, delivered: 0, read: 0 };
        const at = Number(date);
        if (reportType === Report.READ) row.read = Math.max(row.read, at);
        row.delivered = Math.max(row.delivered, at);
        await receipts.put(row);
      }
    });
  }
}

/** What MRR says when a conversation was read up to `date`; `senders` wrote what was read. */
export function readReport(conv: string, date: number, senders: string[]): object {
  const { kind, target, line } = addressOf(conv);
  const tos = kind === Kind.GROUP && senders.length <= MAX_SENDERS ? senders : [];
  return { type: kind, line, target, date, tos };
}
