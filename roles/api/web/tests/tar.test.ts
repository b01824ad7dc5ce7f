import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { TarFile } from "../src/admin/tar";

test("tar unpacks what is packed here", async () => {
  const folder = mkdtempSync(join(tmpdir(), "tar-"));
  const files = { "empty.jsonl": "", "profile.jsonl": '{"名字":"安娜"}\n', "media/000001-x.bin": "x".repeat(1024) };
  const made = new TarFile();
  for (const [name, text] of Object.entries(files)) made.add(name, new Blob([text]));
  writeFileSync(join(folder, "it.tar"), new Uint8Array(await made.blob().arrayBuffer()));
  execFileSync("tar", ["-xf", "it.tar"], { cwd: folder });
  for (const [name, text] of Object.entries(files)) expect(readFileSync(join(folder, name), "utf8")).toBe(text);
  for (const name of ["", "é", "x".repeat(101)]) expect(() => made.add(name, new Blob())).toThrow();
});
