import { describe, expect, it } from "vitest";
import { landing } from "../../src/wire/oidc";

describe("the end of a login with a company account", () => {
  it("is in the address behind #", () => {
    expect(landing("#oidc=done")).toBe("done");
    expect(landing("#/oidc=done")).toBe("done");
    expect(landing("#oidc=notLetIn")).toBe("notLetIn");
  });
  it("is no text of somebody else's", () => {
    expect(landing("#oidc=Send me your password")).toBeNull();
    expect(landing("#oidc=anything")).toBe("wrong");
    expect(landing("#/c/0-0-x")).toBeNull();
    expect(landing("")).toBeNull();
  });
});
