/** One WebSocket connection: CONNECT, requests in flight, heartbeats, and its end (contract.md sections 2 and 4). */

export interface Frame {
  signal: string;
  subSignal: string;
  messageId: number;
  content: string;
}

export interface Accepted {
  messageHead: number;
  friendHead: number;
}

export interface Connect {
  userName: string;
  password: string;
  clientIdentifier: string;
}

export interface Hooks {
  /** A notification of the server, or a pushed answer to MP without a request. */
  onNotice: (frame: Frame) => void;
  onEnd: () => void;
}

/** The server refused a request. It does not say why over WebSocket. */
export class Refused extends Error {
  override name = "Refused";
}
/** The connection was lost, or there is none. */
export class Disconnected extends Error {
  override name = "Disconnected";
}
/** The server refused the CONNECT; `why` is its sub-signal. */
export class ConnectRefused extends Error {
  override name = "ConnectRefused";
  constructor(readonly why: string) {
    super(why);
  }
}

const HEARTBEAT = "心跳内容";
const HEARTBEAT_MS = 25_000;
export const ANSWER_MS = 15_000;
const CONNECT_MS = 15_000;
const MAX_ID = 65_536;
const DONE = 200;

interface Waiting {
  subSignal: string;
  done: (content: string) => void;
  failed: (error: Error) => void;
  timer: ReturnType<typeof setTimeout>;
}

export class Link {
  accepted: Accepted = { messageHead: 0, friendHead: 0 };
  ended = false;
  private readonly waiting = new Map<number, Waiting>();
  private lastId = 0;
  private beat: ReturnType<typeof setInterval> | undefined;
  private opened: { done: (link: Link) => void; failed: (error: Error) => void } | null = null;

  private constructor(
    private readonly socket: WebSocket,
    private readonly hooks: Hooks,
  ) {}

  /** Connect. Throws ConnectRefused, or Disconnected. */
  static open(url: string, connect: Connect, hooks: Hooks): Promise<Link> {
    return new Promise((done, failed) => {
      const socket = new WebSocket(url);
      const link = new Link(socket, hooks);
      const timer = setTimeout(() => link.end(), CONNECT_MS);
      link.opened = {
        done: (it) => (clearTimeout(timer), done(it)),
        failed: (error) => (clearTimeout(timer), failed(error)),
      };
      socket.onopen = () => link.write("CONNECT", "NONE", 0, connect);
      socket.onmessage = (event: MessageEvent<string>) => link.take(event.data);
      socket.onclose = () => link.end();
      socket.onerror = () => link.end();
    });
  }

  /** Ask, and return the JSON of the answer. Throws Refused, or Disconnected, also when no answer comes. */
  request<T>(subSignal: string, content: unknown): Promise<T> {
    return new Promise((done, failed) => {
      if (this.ended) return failed(new Disconnected("no connection"));
      const id = this.takeId();
      const timer = setTimeout(() => this.end(), ANSWER_MS); // a server that is silent is gone
      this.waiting.set(id, {
        subSignal,
        timer,
        failed,
        done: (answer) => {
          try {
            done(answered(subSignal, answer) as T);
          } catch (error) {
            failed(error as Error);
          }
        },
      });
      this.write("PUBLISH", subSignal, id, content);
    });
  }

  /** Say goodbye; with `forget` the server ends the session. */
  close(forget: boolean): void {
    if (!this.ended) this.write("DISCONNECT", "NONE", 0, { clearSession: forget ? 1 : 0 });
    if (forget) setTimeout(() => this.end(), 1000);
    else this.end();
  }

  end(): void {
    if (this.ended) return;
    this.ended = true;
    clearInterval(this.beat);
    this.socket.onclose = this.socket.onmessage = this.socket.onerror = null;
    this.socket.close();
    const error = new Disconnected("the connection was lost");
    for (const one of this.waiting.values()) {
      clearTimeout(one.timer);
      one.failed(error);
    }
    this.waiting.clear();
    if (this.opened) {
      this.opened.failed(error);
      this.opened = null;
    } else this.hooks.onEnd();
  }

  private write(signal: string, subSignal: string, messageId: number, content: unknown): void {
    this.socket.send(JSON.stringify({ signal, subSignal, messageId, content }));
  }

  private takeId(): number {
    do this.lastId = (this.lastId % MAX_ID) + 1;
    while (this.waiting.has(this.lastId));
    return this.lastId;
  }

  private take(text: string): void {
    const frame = JSON.parse(text) as Frame;
    if (frame.signal === "CONNECT_ACK") this.acknowledge(frame);
    else if (frame.signal === "PUB_ACK" && frame.messageId !== 0) this.answer(frame);
    else if (frame.signal === "PUBLISH" || frame.signal === "PUB_ACK") this.hooks.onNotice(frame);
  }

  private acknowledge(frame: Frame): void {
    const opened = this.opened;
    if (!opened) return;
    if (frame.subSignal !== "CONNECTION_ACCEPTED") {
      this.opened = { done: () => {}, failed: () => {} };
      this.end();
      return opened.failed(new ConnectRefused(frame.subSignal));
    }
    this.opened = null;
    const heads = JSON.parse(frame.content) as { messageHead: string; friendHead: number };
    this.accepted = { messageHead: Number(heads.messageHead), friendHead: Number(heads.friendHead) };
    this.beat = setInterval(() => this.socket.send(HEARTBEAT), HEARTBEAT_MS);
    opened.done(this);
  }

  private answer(frame: Frame): void {
    const one = this.waiting.get(frame.messageId);
    if (!one || one.subSignal !== frame.subSignal) return;
    this.waiting.delete(frame.messageId);
    clearTimeout(one.timer);
    one.done(frame.content);
  }
}

/** Read the content of an answer: "" is a refusal, and so is an object whose `code` is not 200 (section 7). */
export function answered(subSignal: string, text: string): unknown {
  if (text === "") throw new Refused(subSignal);
  const value: unknown = JSON.parse(text);
  if (typeof value === "object" && value !== null && "code" in value && "result" in value) {
    if (value.code !== DONE) throw new Refused(subSignal);
    return value.result;
  }
  return value;
}
