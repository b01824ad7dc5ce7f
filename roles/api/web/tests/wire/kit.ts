/** A made-up server for the wire layer: it answers requests as it is told, and keeps what it was asked. */

import { Archive } from "../../src/wire/archive";
import { Database } from "../../src/wire/database";
import { answered, Disconnected, type Link } from "../../src/wire/link";
import { content, Type, type WireMessage } from "../../src/wire/types";

export const ME = "me";
export const ANN = "ann";
export const WITH_ANN = "0-0-ann";

type Handler = (body: never) => unknown;

/** Stands for a Link: `handlers` give the JSON of an answer, or throw. */
export class MadeUpLink {
  ended = false;
  accepted = { messageHead: 0, friendHead: 0 };
  readonly asked: { subSignal: string; body: unknown }[] = [];

  constructor(private readonly handlers: Record<string, Handler>) {}

  async request<T>(subSignal: string, body: unknown): Promise<T> {
    if (this.ended) throw new Disconnected("gone");
    this.asked.push({ subSignal, body });
    const answer = await this.handlers[subSignal]!(body as never);
    return answered(subSignal, typeof answer === "string" ? answer : JSON.stringify(answer)) as T;
  }

  bodies(subSignal: string): unknown[] {
    return this.asked.filter((one) => one.subSignal === subSignal).map((one) => one.body);
  }

  get link(): Link {
    return this as unknown as Link;
  }
}

let databases = 0;
export function newArchive(): Archive {
  return new Archive(new Database(`test-${++databases}`), ME);
}

export function message(id: number | string, text: string, fields: Partial<WireMessage> = {}): WireMessage {
  return {
    conversationType: 0,
    target: ME,
    line: 0,
    from: ANN,
    tos: [],
    messageId: String(id),
    localMessageId: "0",
    direction: 1,
    status: 0,
    timestamp: 1_700_000_000_000 + Number(BigInt(id) % 1000n),
    content: content(Type.TEXT, { searchableContent: text }),
    ...fields,
  };
}

/** Wait until a condition holds. */
export async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await holds())) await new Promise((done) => setTimeout(done, 1));
}
