/** All that is stored about one user (docs/admin.md, All about one user), as `fsharechat admin users` does it. */

import { ask } from "./api";
import { TarFile } from "./tar";

interface PersonalPage {
  part: string;
  rows: { media?: string[] }[];
  next: string;
}

export type Tell = (rows: number, files: number) => void;

function plainName(address: string): string {
  const name = new URL(address, location.origin).pathname.split("/").at(-1) ?? "";
  return name
    .replace(/[^\w.-]+/g, "_")
    .slice(-80)
    .replace(/^\.+/, "");
}

async function fetched(address: string): Promise<Blob | null> {
  const answer = await fetch(address).catch(() => null); // the place of media may be away, or refuse other pages
  return answer?.ok ? answer.blob() : null;
}

/** Return a tar file: JSON lines for each part, the user's own files in media/, and media.json says where each one was. */
export async function exportUser(uid: string, tell: Tell): Promise<Blob> {
  const parts = new Map<string, Blob[]>();
  const kept: Record<string, string> = {};
  const missing: string[] = [];
  const tar = new TarFile();
  let rows = 0;
  let after = "";
  do {
    const page = await ask<PersonalPage>("GET", ["users", uid, "export"], { query: { after } });
    const lines = page.rows.map((row) => `${JSON.stringify(row)}\n`);
    parts.set(page.part, [...(parts.get(page.part) ?? []), new Blob(lines)]);
    rows += page.rows.length;
    const addresses = new Set(page.rows.flatMap((row) => row.media ?? []));
    for (const address of addresses) {
      if (address in kept || missing.includes(address)) continue;
      const file = await fetched(address);
      if (!file) {
        missing.push(address);
        continue;
      }
      const name = `media/${String(Object.keys(kept).length).padStart(6, "0")}-${plainName(address)}`;
      tar.add(name, file);
      kept[address] = name;
      tell(rows, Object.keys(kept).length);
    }
    tell(rows, Object.keys(kept).length);
    after = page.next;
  } while (after);
  for (const [part, blobs] of parts) tar.add(`${part}.jsonl`, new Blob(blobs));
  tar.add("media.json", new Blob([JSON.stringify(kept, null, 2)]));
  if (missing.length) tar.add("missing.json", new Blob([JSON.stringify(missing, null, 2)]));
  return tar.blob();
}

/** Delete a user for good, a step at a time. */
export async function deleteUser(uid: string, tell: (step: number) => void): Promise<void> {
  let after = "";
  let step = 0;
  do {
    after = (await ask<{ next: string }>("DELETE", ["users", uid], { query: { after } })).next;
    tell(++step);
  } while (after);
}

/** Give the person a file. */
export function save(file: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
