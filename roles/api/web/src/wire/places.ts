/** Locations and contacts' cards in messages, as the public clients write them (contract.md section 5). */

import { base64ToUtf8, utf8ToBase64 } from "./crypto";
import { content, type Content, Type, type User } from "./types";

/** Degrees, north and east of zero. */
export interface Location {
  lat: number;
  long: number;
}

const isWithin = (value: unknown, most: number): value is number =>
  typeof value === "number" && Number.isFinite(value) && Math.abs(value) <= most;

export const isLocation = (lat: unknown, long: unknown): boolean => isWithin(lat, 90) && isWithin(long, 180);

/** `picture`: a small JPEG as base64; old clients of Android need one. */
export function location({ lat, long }: Location, title: string, picture: string): Content {
  return content(Type.LOCATION, {
    searchableContent: title,
    content: JSON.stringify({ lat, long }),
    binaryContent: picture,
  });
}

/** The location in a message, null where there is none. */
export function locationOf(made: Content): Location | null {
  try {
    const { lat, long } = JSON.parse(made.content) as Record<string, unknown>;
    return isWithin(lat, 90) && isWithin(long, 180) ? { lat, long } : null;
  } catch {
    return null;
  }
}

export function card({ uid, name, displayName, portrait }: User): Content {
  const said = JSON.stringify({ t: 0, n: name, d: displayName, p: portrait });
  return content(Type.CARD, { content: uid, binaryContent: utf8ToBase64(said) });
}

/** Whose card a message has: their uid, "" where it is no user's, and the name that the sender gives. */
export function cardOf(made: Content): { uid: string; name: string } {
  try {
    const { t, n, d } = JSON.parse(base64ToUtf8(made.binaryContent)) as Record<string, unknown>;
    const name = [d, n].find((one) => typeof one === "string" && one !== "");
    return { uid: t === undefined || t === 0 ? made.content : "", name: String(name ?? made.content) };
  } catch {
    return { uid: made.content, name: made.content };
  }
}
