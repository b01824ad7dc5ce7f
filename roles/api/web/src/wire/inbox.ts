/** Follows the user's inbox: the cursor, and one pull at a time (contract.md section 6). */

import type { Archive } from "./archive";
import type { MessageRow } from "./database";
import { Refused, type Link } from "./link";
import type { Pull } from "./types";

export const POSITION = "position";
const AGAIN_MS = 2000;

export class Inbox {
  private due: number | null = null;
  private running = false;
  private link: Link | null = null;
  private head = 0;

  constructor(
    private readonly archive: Archive,
    private readonly onFresh: (rows: MessageRow[], first: boolean) => void,
  ) {}

  /** A connection was accepted: ask for what is missing up to its head. */
  async follow(link: Link): Promise<void> {
    this.link = link;
    this.head = link.accepted.messageHead;
    const position = await this.archive.db.number(POSITION);
    // A head below our position is that of another installation: it decides what our position means.
    if (this.head !== position) this.pullAfter(position);
  }

  /** An MN: the entries after `head` - 1 must be pulled. */
  notify(head: number): void {
    this.pullAfter(head - 1);
  }

  private pullAfter(seq: number): void {
    // The entries after the lower position include those after the higher one.
    this.due = this.due === null ? seq : Math.min(this.due, seq);
    if (!this.running) void this.run();
  }

  private async run(): Promise<void> {
    this.running = true;
    try {
      while (this.due !== null && this.link && !this.link.ended) {
        const after: number = this.due;
        this.due = null;
        try {
          await this.pull(this.link, after);
        } catch (error) {
          this.due = this.due === null ? after : Math.min(this.due, after);
          if (!(error instanceof Refused)) throw error;
          await new Promise((done) => setTimeout(done, AGAIN_MS));
        }
      }
    } catch {
      this.due = null; // the connection is gone, and the next one begins at our position
    } finally {
      this.running = false;
    }
  }

  private async pull(link: Link, after: number): Promise<void> {
    const { db } = this.archive;
    const position = await db.number(POSITION);
    const strange = this.head < position;
    // pullType 1 asks for what follows messageId - 1; 0 has sendMessageCount added, and we never guess by it.
    const asked = { messageId: String(after + 1), type: 0, pullType: 1, sendMessageCount: 0 };
    // What was there before this device's first connection has been read elsewhere, or never.
    const first = after === 0 && position === 0 && link.accepted.messageHead > 0;
    const claimed = first ? { ...asked, messageId: "0", pullType: 0 } : asked;
    const answer = await link.request<Pull>("MP", claimed);
    const current = Number(answer.current);
    const fresh = await this.archive.take(answer.messageResponseList, first);
    // Messages first: what is repeated is dropped by its id, what is left out is lost.
    if (strange || current > position) await db.setNumber(POSITION, current);
    this.head = Math.max(strange ? 0 : this.head, current);
    if (fresh.length) this.onFresh(fresh, first);
  }
}
