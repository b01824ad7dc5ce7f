import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { NotStored, upload } from "../../src/wire/files";
import { Disconnected, type Link } from "../../src/wire/link";

const MB = 1 << 20;

/** A store that takes parts of 8 MB, and breaks the connections of `broken` after half of a part. */
class MadeUpParts {
  arrived = 0;
  broken = 0;
  status = 200;
  readonly puts: [string, number][] = [];
  readonly asked: Record<string, unknown>[] = [];

  readonly link = {
    request: (_: string, asked: Record<string, unknown>) => {
      this.asked.push(asked);
      const size = Number(asked.size ?? 0);
      const length = Math.min(8 * MB, size - this.arrived);
      const part = size ? { offset: this.arrived, length } : {};
      return Promise.resolve({ domain: "http://m/b", url: `http://m/${this.arrived}`, ...part });
    },
  } as unknown as Link;

  take(url: string, size: number): number {
    this.puts.push([url, size]);
    if (this.broken-- > 0) {
      this.arrived += size / 2;
      return 0;
    }
    if (this.status === 200) this.arrived += size;
    return this.status;
  }
}

describe("an upload", () => {
  let store: MadeUpParts;
  beforeEach(() => {
    store = new MadeUpParts();
    vi.stubGlobal(
      "XMLHttpRequest",
      class {
        upload: { onprogress?: (told: { loaded: number; total: number }) => void } = {};
        status = 0;
        url = "";
        onload = () => {};
        onerror = () => {};
        open = (_: string, url: string) => (this.url = url);
        setRequestHeader = () => {};
        send = (file: Blob) => {
          this.status = store.take(this.url, file.size);
          this.upload.onprogress?.({ loaded: file.size, total: file.size });
          if (this.status) this.onload();
          else this.onerror();
        };
      },
    );
  });
  afterEach(() => vi.unstubAllGlobals());

  it("goes up in one piece when it is small", async () => {
    const address = await upload(store.link, "me", 4, new Blob(["x"]), "a.txt", undefined, "7");
    expect([address, store.puts, store.asked]).toEqual([
      "http://m/b/4-me-7-a.txt",
      [["http://m/0", 1]],
      [{ mediaType: 4, key: "4-me-7-a.txt" }],
    ]);
  });

  it("goes on where it broke when it is large", async () => {
    const file = new Blob([new Uint8Array(18 * MB)]);
    const shares: number[] = [];
    const go = () => upload(store.link, "me", 4, file, "a.bin", (share) => shares.push(share), "7");
    store.broken = 1;
    await expect(go()).rejects.toThrow(Disconnected);
    expect(await go()).toBe("http://m/b/4-me-7-a.bin");
    expect(store.puts).toEqual([
      ["http://m/0", 8 * MB],
      [`http://m/${4 * MB}`, 8 * MB],
      [`http://m/${12 * MB}`, 6 * MB],
    ]);
    expect(new Set(store.asked.map((asked) => [asked.key, asked.size].join()))).toEqual(
      new Set([["4-me-7-a.bin", 18 * MB].join()]),
    );
    expect(shares.at(-1)).toBe(1);
  });

  it("is tried again when a part may go better, and fails when it may not", async () => {
    const file = new Blob([new Uint8Array(9 * MB)]);
    store.status = 409;
    await expect(upload(store.link, "me", 4, file, "a")).rejects.toThrow(Disconnected);
    store.status = 507;
    await expect(upload(store.link, "me", 4, file, "a")).rejects.toThrow(NotStored);
  });
});
