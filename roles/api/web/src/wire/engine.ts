/** The one connection of this browser: it follows the inbox, sends the outbox and takes what the server says. */

import { Archive, isTransparent } from "./archive";
import { connectPassword } from "./crypto";
import type { Database, MessageRow, OutboxRow } from "./database";
import { upload } from "./files";
import { Inbox } from "./inbox";
import { ConnectRefused, Disconnected, type Frame, Link } from "./link";
import type { Session } from "./login";
import { Outbox } from "./outbox";
import { Receipts } from "./receipts";
import { syncFriends, syncRequests, syncSettings } from "./sync";
import { Kind, Type, type Pull, type Reaction, type WireMessage } from "./types";

const FIRST_MS = 500;
const MOST_MS = 30_000;
/** How often the server is asked for something small, so that a dead connection is found. */
const PROBE_MS = 60_000;
/** Refusals after which the login has ended for good; all others are tried again. */
const ENDED = new Set([
  "CONNECTION_REFUSED_BAD_USER_NAME_OR_PASSWORD",
  "CONNECTION_REFUSED_SESSION_NOT_EXIST",
  "CONNECTION_REFUSED_IDENTIFIER_REJECTED",
  "CONNECTION_REFUSED_NOT_AUTHORIZED",
]);

export type Status = "offline" | "connecting" | "online" | "ended";

/** What all tabs are told. */
export type Event =
  | { type: "status"; status: Status }
  | { type: "fresh"; rows: MessageRow[] }
  | { type: "transparent"; message: WireMessage }
  | { type: "stream"; id: string; delta: string; done: boolean; robot: string }
  | { type: "progress"; local: string; share: number }
  | { type: "groups"; ids: string[] };

interface StreamPart {
  i: string;
  d: string;
  f: boolean;
  t: string;
}

export class Engine {
  status: Status = "offline";
  private link: Link | null = null;
  private readonly inbox: Inbox;
  private readonly outbox: Outbox;
  private readonly receipts: Receipts;
  private readonly archive: Archive;
  private wait = FIRST_MS;
  private wake: (() => void) | null = null;
  private stopped = false;
  private probe: ReturnType<typeof setInterval> | undefined;

  constructor(
    private readonly session: Session,
    private readonly db: Database,
    private readonly url: string,
    private readonly tell: (event: Event) => void,
  ) {
    this.archive = new Archive(db, session.userId);
    this.inbox = new Inbox(this.archive, (rows, first) => this.fresh(rows, first));
    this.outbox = new Outbox(this.archive, (link, row) => this.upload(link, row));
    this.receipts = new Receipts(this.archive);
  }

  /** Connect, and again for as long as the session lives. */
  async run(): Promise<void> {
    this.probe = setInterval(() => {
      if (this.link) void syncSettings(this.link, this.db).catch(() => {}); // its silence ends the link
    }, PROBE_MS);
    await this.archive.prune();
    while (!this.stopped) {
      try {
        await this.connect();
        await new Promise<void>((done) => (this.wake = done)); // until the link ends
      } catch (error) {
        if (error instanceof ConnectRefused && ENDED.has(error.why)) return this.end();
        if (!(error instanceof ConnectRefused || error instanceof Disconnected)) throw error;
      }
      this.link = null;
      if (this.stopped) return;
      this.say("offline");
      await this.pause();
    }
  }

  /** Try at once: the network is back, or somebody looks at the page. */
  hurry(): void {
    this.wait = FIRST_MS;
    if (!this.link) this.wake?.();
  }

  /** The network went away: what is in flight fails now, not after its time. */
  cut(): void {
    this.link?.end();
  }

  request<T>(subSignal: string, content: unknown): Promise<T> {
    if (!this.link) return Promise.reject(new Disconnected("no connection"));
    return this.link.request<T>(subSignal, content);
  }

  flush(): void {
    void this.outbox.flush();
  }

  stop(forget: boolean): void {
    this.stopped = true;
    clearInterval(this.probe);
    this.link?.close(forget);
    this.wake?.();
  }

  private end(): void {
    this.stopped = true;
    clearInterval(this.probe);
    this.say("ended");
  }

  private say(status: Status): void {
    this.status = status;
    this.tell({ type: "status", status });
  }

  private async connect(): Promise<void> {
    this.say("connecting");
    const { userId, clientId } = this.session;
    const connect = {
      userName: userId,
      password: await connectPassword(this.session, Date.now()),
      clientIdentifier: clientId,
    };
    const early: Frame[] = [];
    let follows = false;
    const link = await Link.open(this.url, connect, {
      onNotice: (frame) => (follows ? this.notice(link, frame) : early.push(frame)),
      onEnd: () => this.wake?.(),
    });
    this.link = link;
    this.wait = FIRST_MS;
    follows = true;
    await this.inbox.follow(link);
    for (const frame of early) this.notice(link, frame);
    this.say("online");
    void this.outbox.flush(link);
    void this.catchUp(link).catch(() => {}); // a lost connection: the next one catches up
  }

  private async catchUp(link: Link): Promise<void> {
    await Promise.all([
      syncSettings(link, this.db),
      syncFriends(link, this.db),
      syncRequests(link, this.db),
      this.receipts.catchUp(link),
    ]);
  }

  private async pause(): Promise<void> {
    const ms = this.wait * (0.5 + Math.random() / 2);
    this.wait = Math.min(this.wait * 2, MOST_MS);
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((done) => {
      this.wake = done;
      timer = setTimeout(done, ms);
    });
    clearTimeout(timer);
  }

  private notice(link: Link, frame: Frame): void {
    if (frame.content === "") return;
    const said: unknown = JSON.parse(frame.content);
    const later = (work: Promise<unknown>) => void work.catch(() => {}); // the next CONNECT asks again
    switch (frame.subSignal) {
      case "MN":
        return this.inbox.notify(Number((said as { messageHead: string }).messageHead));
      case "MP":
        for (const message of (said as Pull).messageResponseList) {
          if (isTransparent(message)) this.tell({ type: "transparent", message });
        }
        return;
      case "RMN": {
        const { messageUid, fromUser } = said as { messageUid: string; fromUser: string };
        return later(this.archive.recalled(String(messageUid), fromUser));
      }
      case "MEN": {
        const { messageUid } = said as { messageUid: string };
        const asked = link.request<Pull>("MGI", { messageUids: [String(messageUid)] });
        return later(asked.then((found) => this.archive.edited(found.messageResponseList)));
      }
      case "REN":
        return later(this.archive.reacted(said as Reaction));
      case "MRN": {
        const { messageHead, type } = said as { messageHead: string; type: number };
        return this.receipts.notify(link, type, Number(messageHead));
      }
      case "FN":
        return later(syncFriends(link, this.db));
      case "FRN":
        return later(syncRequests(link, this.db));
      case "UN":
        return later(syncSettings(link, this.db));
      case "SAI": {
        const { i, d, f, t } = said as StreamPart;
        return this.tell({ type: "stream", id: i, delta: d, done: f, robot: t });
      }
    }
  }

  private fresh(rows: MessageRow[], first: boolean): void {
    if (this.link && !first) void this.receipts.delivered(this.link, rows).catch(() => {}); // told with the next ones
    if (!first) this.tell({ type: "fresh", rows });
    const changed = rows.filter((row) => isGroupChange(row)).map((row) => row.conv.split("-").slice(2).join("-"));
    if (changed.length) this.tell({ type: "groups", ids: [...new Set(changed)] });
  }

  private async upload(link: Link, row: OutboxRow): Promise<void> {
    const progress = (share: number) => this.tell({ type: "progress", local: row.local, share });
    const file = row.file!;
    const address = await upload(link, this.session.userId, row.content.mediaType, file, row.fileName ?? "", progress);
    const content = { ...row.content, remoteMediaUrl: address };
    await this.db.outbox.update(row.n!, (kept) => {
      kept.content = content;
      delete kept.file;
    });
    row.content = content;
  }
}

function isGroupChange(row: MessageRow): boolean {
  const { type } = row.content;
  const changes = type === Type.TIP || (type >= Type.GROUP_CREATED && type <= Type.GROUP_PORTRAIT);
  return row.conv.startsWith(`${Kind.GROUP}-`) && changes;
}
