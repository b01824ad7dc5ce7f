/** Login over HTTP (contract.md section 3), and the session that this browser keeps. */

import { openToken, type Token } from "./crypto";

export interface Session extends Token {
  userId: string;
  clientId: string;
}

/** The server refused; `message` is its sentence for people, `code` its result code. */
export class LoginRefused extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

const SESSION = "fsharechat.session";
const DEVICE = "fsharechat.device";
const RANDOM_BYTES = 8;

/** The code of an invitation, where new users need one: it is in the address of the page, `?invitation=CODE`. */
function invitation(): { invitation?: string } {
  const code = new URLSearchParams(location.search).get("invitation");
  return code ? { invitation: code } : {};
}

export async function sendCode(mobile: string, language: string): Promise<void> {
  await post("/send_code", { mobile, ...invitation() }, language);
}

export async function login(mobile: string, code: string, language: string): Promise<Session> {
  return keep("/login", { mobile, code }, language);
}

/** Finish a login with a company account: the browser was sent back with a cookie that says whose. */
export async function finishCompany(language: string): Promise<Session> {
  return keep("/oidc/login", {}, language);
}

async function keep(path: string, said: object, language: string): Promise<Session> {
  const clientId = device();
  const { userId, token } = (await post(path, { ...said, clientId, ...invitation() }, language)) as {
    userId: string;
    token: string;
  };
  const session = { userId, clientId, ...(await openToken(token)) };
  localStorage.setItem(SESSION, JSON.stringify(session));
  return session;
}

export function kept(): Session | null {
  const text = localStorage.getItem(SESSION);
  return text ? (JSON.parse(text) as Session) : null;
}

export function forget(): void {
  localStorage.removeItem(SESSION);
}

/** Call `changed` when another tab logs in or out. */
export function watch(changed: () => void): void {
  addEventListener("storage", (event) => {
    if (event.key === SESSION) changed();
  });
}

export function random(bytes = RANDOM_BYTES): string {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((one) => one.toString(16).padStart(2, "0")).join("");
}

/** The name of this browser for the server: all its tabs are one device. */
function device(): string {
  let name = localStorage.getItem(DEVICE);
  if (!name) localStorage.setItem(DEVICE, (name = `web-${random()}`));
  return name;
}

async function post(path: string, body: object, language: string): Promise<unknown> {
  const answer = await fetch(path, {
    method: "POST",
    headers: {
      "Content-Type": "application/json",
      "Accept-Language": language,
      "X-Requested-With": "fsharechat", // no page of another origin can send it
    },
    body: JSON.stringify(body),
  });
  const { code, message, result } = (await answer.json()) as { code: number; message: string; result: unknown };
  if (code !== 0) throw new LoginRefused(code, message);
  return result;
}
