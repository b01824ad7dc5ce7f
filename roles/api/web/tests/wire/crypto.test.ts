import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { connectPassword, openToken, toBase64 } from "../../src/wire/crypto";

interface Stamped {
  hours: number;
  ciphertext: string;
}
const file = new URL("../../../../../tests/protocol/vectors/crypto.json", import.meta.url);
const vectors = JSON.parse(readFileSync(file, "utf8")) as { stamped: Stamped[] };
const bytes = (hex: string) => Uint8Array.from(Buffer.from(hex, "hex"));

describe("the token of a login", () => {
  it("is read as deployed clients write it", async () => {
    const [first] = vectors.stamped;
    expect(await openToken(toBase64(bytes(first!.ciphertext)))).toEqual({
      userToken: "cGFzc3dvcmQ=",
      secret: "mySecretKey12345",
    });
  });

  it("is refused where it is none", async () => {
    await expect(openToken(toBase64(bytes("00".repeat(32))))).rejects.toThrow();
  });
});

describe("the password of a CONNECT", () => {
  it("is the user token after the hours, under the secret", async () => {
    const secret = "mySecretKey12345";
    const password = await connectPassword({ userToken: "cGFzc3dvcmQ=", secret }, (1514736000 + 12345 * 3600) * 1000);
    const raw = new TextEncoder().encode(secret);
    const key = await crypto.subtle.importKey("raw", raw, "AES-CBC", false, ["decrypt"]);
    const plain = await crypto.subtle.decrypt({ name: "AES-CBC", iv: raw }, key, Buffer.from(password, "base64"));
    expect(Buffer.from(plain).subarray(0, 4).toString("hex")).toBe("39300000");
    expect(Buffer.from(plain).subarray(4).toString()).toBe("password");
  });
});
