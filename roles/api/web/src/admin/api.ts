/** The requests of the back office (docs/admin.md), with the cookie of the session. */

export type Role = "read" | "people" | "all";
export type Query = Record<string, string | number>;

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** What to do when the session has ended. */
let ended: () => void = () => {};

export function onEnded(then: () => void): void {
  ended = then;
}

type Method = "GET" | "POST" | "PUT" | "DELETE";

/** Send a request, and return its `result`. `path` has its parts; it begins below /admin. */
export async function ask<T = unknown>(
  method: Method,
  path: string[],
  { body, query }: { body?: unknown; query?: Query } = {},
): Promise<T> {
  return send(method, ["admin", ...path], body, query);
}

/** Send a text from SystemNotification to the users of some numbers. */
export async function push(mobiles: string[], text: string): Promise<PushOutcome[]> {
  const content = { content: { type: 1, searchableContent: text }, messageId: crypto.randomUUID() };
  return send("POST", ["imopenapi", "pushNotificationByMobile"], { mobiles, content });
}

async function send<T>(method: Method, path: string[], body?: unknown, query?: Query): Promise<T> {
  const url = new URL(`/${path.map(encodeURIComponent).join("/")}`, location.origin);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== "") url.searchParams.set(name, String(value));
  }
  const init: RequestInit = { method, headers: { "X-Requested-With": "fsharechat" } };
  if (body !== undefined) init.body = JSON.stringify(body);
  const response = await fetch(url, init).catch(() => {
    throw new ApiError(0, "");
  });
  const answer = (await response.json().catch(() => ({}))) as { message?: string; result?: T };
  if (!response.ok) {
    if (response.status === 401 && path[1] !== "session") ended();
    throw new ApiError(response.status, answer.message ?? "");
  }
  return answer.result as T;
}

export interface Page<T> {
  rows: T[];
  next: string;
}

/** Return a page of a list, whose rows are in the field `name`. */
export async function list<T>(path: string[], name: string, query: Query): Promise<Page<T>> {
  const found = await ask<Record<string, unknown>>("GET", path, { query });
  return { rows: found[name] as T[], next: (found.next as string | undefined) ?? "" };
}

export interface User {
  uid: string;
  number: string;
  displayName: string;
  status: "normal" | "muted" | "blocked";
  updateDt: number;
}
export interface Device {
  clientId: string;
  loggedInAt: number | null;
  online: boolean;
  node: number | null;
  since: number | null;
}
export interface CompanyAccount {
  id: string;
  issuer: string;
  subject: string;
  boundAt: number;
}
export interface Group {
  id: string;
  name: string;
  owner: string;
  type: string;
  memberCount: number;
  dismissed: boolean;
  updateDt: number;
}
export interface Member {
  uid: string;
  displayName: string;
  alias: string;
  type: string;
  joinedAt: number;
}
export interface Robot {
  uid: string;
  name: string;
  portrait: string;
  kind: string;
  agent: string;
  model: string;
  system: string;
  exchanges: number;
  hasKey: boolean;
  fixed: boolean;
}
export interface Invitation {
  id: string;
  invitee: string;
  count: number;
  used: number;
  expiresAt: number;
  good: boolean;
}
export interface Bot {
  name: string;
  uid: string;
  createdAt: number;
  active: boolean;
}
export interface Report {
  id: string;
  reporter: string;
  uid: string;
  messageId: string;
  type: number;
  text: string;
  reason: string;
  createdAt: number;
}
export interface PushOutcome {
  mobile: string;
  code: number;
  messageId: string;
}
export interface Account {
  name: string;
  role: Role;
  madeAt: number;
}
export interface AuditEntry {
  id: string;
  at: number;
  way: string;
  actor: string;
  op: string;
  target: string;
  details: Record<string, unknown>;
  address: string;
  status: number;
}
export interface Setting {
  key: string;
  value: string;
  isDefault: boolean;
}
export interface Process {
  name: string;
  roles: string[];
  version: string;
  at: number;
  startedAt: number;
  addresses: Record<string, string>;
  metrics: Record<string, number>;
  health: Record<string, string>;
  serves: boolean;
}
