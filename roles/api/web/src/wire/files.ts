/** Files: the address for an upload (GMURL), and the upload itself (contract.md sections 7 and 8, "Media types"). */

import { Disconnected, type Link } from "./link";
import { random } from "./login";
import type { Place } from "./types";

const MAX_NAME = 100;
/** Files of so many bytes go up in parts. A connection that breaks costs only the rest of its part. */
const PARTS_FROM = 8 << 20;
/** The status of a part that may go better the next time. */
const PASSING = new Set([409, 500, 502, 503, 504]);
/** Characters that an address would change: the address of a file is the domain and the key as it is. */

const UNSAFE = /[\x00-\x1f\x7f/\\?#%]+/g;

export function safeName(name: string): string {
  const whole = name.replace(UNSAFE, "_") || "file";
  if (whole.length <= MAX_NAME) return whole;
  const ending = /\.[^.]{1,15}$/.exec(whole)?.[0] ?? "";
  return whole.slice(0, MAX_NAME - ending.length) + ending;
}

/** The store refused a file: it is too large, or there is no room today. */
export class NotStored extends Error {
  constructor(readonly status: number) {
    super(`the media store answers ${status}`);
  }
}

type Ask = Pick<Link, "request">;

/**
 * Upload a file, and return the address that messages name. Throws NotStored, Refused or Disconnected.
 * `id` stands for this content: a large file goes on where an earlier upload with this id broke off.
 */
export async function upload(
  link: Ask,
  me: string,
  kind: number,
  file: Blob,
  name: string,
  onProgress: (share: number) => void = () => {},
  id: string = random(),
): Promise<string> {
  const key = `${kind}-${me}-${id}-${safeName(name)}`;
  const inParts = file.size >= PARTS_FROM;
  for (;;) {
    const asked = { mediaType: kind, key, ...(inParts ? { size: file.size } : {}) };
    const { url, domain, offset = 0, length = 0 } = await link.request<Place>("GMURL", asked);
    const address = `${domain}/${key}`;
    if (inParts && offset === file.size) return address;
    if (!length) {
      await put(url, file, onProgress);
      return address;
    }
    const told = (share: number) => onProgress((offset + share * length) / file.size);
    try {
      await put(url, file.slice(offset, offset + length), told);
    } catch (error) {
      if (error instanceof NotStored && PASSING.has(error.status)) throw new Disconnected(error.message);
      throw error;
    }
  }
}

/** fetch tells nothing of an upload's progress. */
function put(url: string, file: Blob, onProgress: (share: number) => void): Promise<void> {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("PUT", url);
    if (file.type) request.setRequestHeader("Content-Type", file.type);
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    request.onload = () =>
      request.status >= 200 && request.status < 300 ? done() : failed(new NotStored(request.status));
    request.onerror = request.onabort = () => failed(new Disconnected("the upload broke"));
    request.send(file);
  });
}

/** The address of a file as a browser takes it, "" where it is none of http or https. */
export function webAddress(url: string): string {
  try {
    const parsed = new URL(url, "about:blank");
    return parsed.protocol === "http:" || parsed.protocol === "https:" ? parsed.href : "";
  } catch {
    return "";
  }
}
