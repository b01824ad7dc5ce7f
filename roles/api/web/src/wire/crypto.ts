/** The token of a login and the password of a CONNECT (contract.md sections 3 and 4). */

const DEFAULT_KEY = Uint8Array.from([0, 17, 34, 51, 68, 85, 102, 119, 120, 121, 122, 123, 124, 125, 126, 127]);
const EPOCH = 1514736000;
const KEY_BYTES = 16;
const STAMP_BYTES = 4;

export interface Token {
  userToken: string;
  secret: string;
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
}

export function toBase64(data: Uint8Array): string {
  let out = "";
  for (const one of data) out += String.fromCharCode(one);
  return btoa(out);
}

export const utf8ToBase64 = (text: string): string => toBase64(new TextEncoder().encode(text));
export const base64ToUtf8 = (text: string): string => new TextDecoder().decode(fromBase64(text));

const imported = (raw: Uint8Array<ArrayBuffer>) =>
  crypto.subtle.importKey("raw", raw, "AES-CBC", false, ["encrypt", "decrypt"]);

/** Read the token of a login. Throws what WebCrypto throws where it is none. */
export async function openToken(token: string): Promise<Token> {
  const key = await imported(DEFAULT_KEY);
  const plain = await crypto.subtle.decrypt({ name: "AES-CBC", iv: DEFAULT_KEY }, key, fromBase64(token));
  const [userToken, secret] = new TextDecoder().decode(plain.slice(STAMP_BYTES)).split("|");
  if (!userToken || !secret) throw new Error("not a token");
  return { userToken, secret };
}

/** Return the password of a CONNECT at a time in ms. */
export async function connectPassword({ userToken, secret }: Token, now: number): Promise<string> {
  const raw = Uint8Array.from(secret.slice(0, KEY_BYTES), (one) => one.charCodeAt(0) & 0xff);
  const hours = Math.floor((now / 1000 - EPOCH) / 3600);
  const stamp = [hours & 0xff, (hours >> 8) & 0xff, (hours >> 16) & 0xff, 0];
  const body = new Uint8Array([...stamp, ...fromBase64(userToken)]);
  return toBase64(new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv: raw }, await imported(raw), body)));
}
