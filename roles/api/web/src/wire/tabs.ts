/** All tabs of a browser are one device: one tab has the connection, the others ask it. */

import type { Database } from "./database";
import { Engine, type Event, type Status } from "./engine";
import { ANSWER_MS, Disconnected, Refused } from "./link";
import { random, type Session } from "./login";

type Said =
  | { type: "ask"; id: string; subSignal: string; content: unknown }
  | { type: "done"; id: string; result: unknown }
  | { type: "failed"; id: string; refused: boolean; message: string }
  | { type: "flush" | "hello" | "hurry" }
  | { type: "leave"; forget: boolean }
  | { type: "event"; event: Event };

interface Waiting {
  done: (result: unknown) => void;
  failed: (error: Error) => void;
  timer: ReturnType<typeof setTimeout>;
}

/** The connection as every tab has it, whichever tab holds it. */
export class Connection {
  status: Status = "offline";
  private engine: Engine | null = null;
  private readonly channel: BroadcastChannel;
  private readonly waiting = new Map<string, Waiting>();
  private readonly listeners = new Set<(event: Event) => void>();
  private release: (() => void) | null = null;
  private readonly gone = new AbortController();

  constructor(
    private readonly session: Session,
    private readonly db: Database,
    private readonly url: string,
  ) {
    this.channel = new BroadcastChannel(`fsharechat-${session.userId}`);
    this.channel.onmessage = ({ data }: MessageEvent<Said>) => this.hear(data);
  }

  /** Take the connection as soon as no other tab has it. */
  start(): void {
    this.say({ type: "hello" });
    const { signal } = this.gone;
    void navigator.locks
      .request(`fsharechat-${this.session.userId}`, { signal }, () => this.lead())
      .catch((error: unknown) => {
        if (!signal.aborted) throw error;
      });
    addEventListener("online", this.hurry);
    addEventListener("offline", this.cut);
    document.addEventListener("visibilitychange", this.hurry);
  }

  /** Leave; with `forget` the server ends the session of this browser. */
  stop(forget: boolean): void {
    removeEventListener("online", this.hurry);
    removeEventListener("offline", this.cut);
    document.removeEventListener("visibilitychange", this.hurry);
    if (this.engine) this.engine.stop(forget);
    else if (forget) this.say({ type: "leave", forget });
    this.release?.();
    this.gone.abort();
    this.listeners.clear();
    this.engine = null;
    this.channel.onmessage = null; // the next login of this page has a channel of its own
    setTimeout(() => this.channel.close(), 500); // "leave" goes out first
  }

  on(listener: (event: Event) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Ask the server. Throws Refused or Disconnected. */
  request<T>(subSignal: string, content: unknown): Promise<T> {
    if (this.engine) return this.engine.request<T>(subSignal, content);
    return new Promise<T>((done, failed) => {
      const id = random();
      const timer = setTimeout(() => {
        this.waiting.delete(id);
        failed(new Disconnected("the tab with the connection does not answer"));
      }, ANSWER_MS + 1000);
      this.waiting.set(id, { done: done as (result: unknown) => void, failed, timer });
      this.say({ type: "ask", id, subSignal, content });
    });
  }

  /** Something was put into the outbox. */
  flush(): void {
    if (this.engine) this.engine.flush();
    else this.say({ type: "flush" });
  }

  private readonly hurry = (): void => {
    if (document.visibilityState === "hidden") return;
    if (this.engine) this.engine.hurry();
    else this.say({ type: "hurry" });
  };

  private readonly cut = (): void => this.engine?.cut();

  private lead(): Promise<void> {
    this.engine = new Engine(this.session, this.db, this.url, (event) => {
      this.tell(event);
      this.say({ type: "event", event });
    });
    return new Promise((done) => {
      this.release = done;
      void this.engine!.run();
    });
  }

  private say(said: Said): void {
    this.channel.postMessage(said);
  }

  private tell(event: Event): void {
    if (event.type === "status") this.status = event.status;
    for (const listener of this.listeners) listener(event);
  }

  private hear(said: Said): void {
    if (said.type === "event") return this.tell(said.event);
    if (said.type === "done" || said.type === "failed") return this.answered(said);
    const { engine } = this;
    if (!engine) return;
    if (said.type === "ask") void this.serve(engine, said.id, said.subSignal, said.content);
    else if (said.type === "flush") engine.flush();
    else if (said.type === "hurry") engine.hurry();
    else if (said.type === "leave") engine.stop(said.forget);
    else this.say({ type: "event", event: { type: "status", status: engine.status } });
  }

  private async serve(engine: Engine, id: string, subSignal: string, content: unknown): Promise<void> {
    try {
      this.say({ type: "done", id, result: await engine.request(subSignal, content) });
    } catch (error) {
      this.say({ type: "failed", id, refused: error instanceof Refused, message: String(error) });
    }
  }

  private answered(said: Extract<Said, { type: "done" | "failed" }>): void {
    const one = this.waiting.get(said.id);
    if (!one) return;
    this.waiting.delete(said.id);
    clearTimeout(one.timer);
    if (said.type === "done") one.done(said.result);
    else one.failed(said.refused ? new Refused(said.message) : new Disconnected(said.message));
  }
}
