import { describe, expect, it } from "vitest";
import { utf8ToBase64 } from "../../src/wire/crypto";
import { card, cardOf, isLocation, location, locationOf } from "../../src/wire/places";
import { content, Type, type User } from "../../src/wire/types";

describe("a location", () => {
  it("is read as it was written", () => {
    const made = location({ lat: -33.9, long: 18.4 }, "Cape Town", "cGlj");
    expect([made.searchableContent, made.content, made.binaryContent]).toEqual([
      "Cape Town",
      '{"lat":-33.9,"long":18.4}',
      "cGlj",
    ]);
    expect(locationOf(made)).toEqual({ lat: -33.9, long: 18.4 });
  });

  it("is none where it is no place on the earth", () => {
    for (const said of ["", "{", "null", '{"lat":"1","long":2}', '{"lat":91,"long":0}', '{"lat":1e999,"long":0}']) {
      expect(locationOf(content(Type.LOCATION, { content: said }))).toBeNull();
    }
    expect([isLocation(90, -180), isLocation(90.1, 0), isLocation("", 0)]).toEqual([true, false, false]);
  });
});

describe("a card", () => {
  it("is read as it was written", () => {
    const user = { uid: "u1", name: "ann1", displayName: "安", portrait: "http://x/y" } as User;
    expect(cardOf(card(user))).toEqual({ uid: "u1", name: "安" });
  });

  it("names nobody where it is a group's, or broken", () => {
    const of = (said: string) => cardOf(content(Type.CARD, { content: "x", binaryContent: utf8ToBase64(said) }));
    expect(of('{"t":1,"n":"hikers"}')).toEqual({ uid: "", name: "hikers" });
    expect(of("{")).toEqual({ uid: "x", name: "x" });
    expect(of('{"d":7}')).toEqual({ uid: "x", name: "x" });
  });
});
