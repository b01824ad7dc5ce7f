import { describe, expect, it } from "vitest";
import { addressOf, keyOf, padded, plain } from "../../src/wire/types";
import { safeName, webAddress } from "../../src/wire/files";

describe("conversations and ids", () => {
  it("read back as they were written, whatever is in a target", () => {
    for (const target of ["u1", "a-b-c", "", "群-1"]) {
      const address = { kind: 1, target, line: 0 };
      expect(addressOf(keyOf(address))).toEqual(address);
    }
  });

  it("sort as texts as they do as numbers", () => {
    const ids = ["9007199254740993", "589110623535628324", "12", "9223372036854775807"];
    const sorted = [...ids].sort((one, other) => (BigInt(one) < BigInt(other) ? -1 : 1));
    expect([...ids].map(padded).sort().map(plain)).toEqual(sorted);
  });
});

describe("files", () => {
  it("have names that an address keeps, with their ending", () => {
    expect(safeName("a/b\\c?d#e%f.png")).toBe("a_b_c_d_e_f.png");
    const long = safeName(`${"x".repeat(300)}.tar`);
    expect(long.length).toBe(100);
    expect(long.endsWith(".tar")).toBe(true);
    expect(safeName("")).toBe("file");
  });

  it("are at addresses of the web, or nowhere", () => {
    expect(webAddress("https://a.example/b c.png")).toBe("https://a.example/b%20c.png");
    for (const wrong of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "", "blob:x"]) {
      expect(webAddress(wrong)).toBe("");
    }
  });
});
