/** Login over HTTP: what the page sends. */

import { afterEach, describe, expect, it, vi } from "vitest";
import { sendCode } from "../../src/wire/login";

afterEach(() => vi.unstubAllGlobals());

async function sent(search: string): Promise<unknown> {
  let asked = "";
  vi.stubGlobal("location", { search });
  vi.stubGlobal("fetch", (_: string, how: { body: string }) => {
    asked = how.body;
    return Promise.resolve({ json: () => Promise.resolve({ code: 0, message: "success", result: true }) });
  });
  await sendCode("13800000001", "en");
  return JSON.parse(asked);
}

describe("the invitation in the address of the page", () => {
  it("goes with the request", async () => {
    expect(await sent("?invitation=abc")).toEqual({ mobile: "13800000001", invitation: "abc" });
  });

  it("is left out where there is none", async () => {
    expect(await sent("")).toEqual({ mobile: "13800000001" });
    expect(await sent("?invitation=")).toEqual({ mobile: "13800000001" });
  });
});
