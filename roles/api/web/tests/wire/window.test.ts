import { describe, expect, it } from "vitest";
import type { MessageRow } from "../../src/wire/database";
import { Client } from "../../src/wire/client";
import { ME, message, newArchive, WITH_ANN } from "./kit";

const said = (rows: MessageRow[]) => rows.map((row) => row.content.searchableContent);

describe("the part of a conversation that is shown", () => {
  it("is its newest page, or what is between two messages", async () => {
    const archive = newArchive();
    await archive.take(
      [1, 2, 3, 4, 5].map((id) => message(id, `m${id}`)),
      true,
    );
    await archive.take([message(6, "of another", { from: "ben" })], true);
    const client = new Client(ME, archive.db, { request: () => Promise.reject(new Error()), flush: () => {} });
    const newest = await client.between(WITH_ANN, null, null, 2);
    expect([said(newest.rows), newest.beginning]).toEqual([["m4", "m5"], false]);
    const ids = (await client.between(WITH_ANN, null, null, 9)).rows.map((row) => row.id);
    const part = await client.between(WITH_ANN, ids[1]!, ids[2]!, 2);
    expect([said(part.rows), part.beginning]).toEqual([["m2", "m3"], false]);
    expect(said((await client.between(WITH_ANN, ids[2]!, null, 2)).rows)).toEqual(["m3", "m4", "m5"]);
    expect(said(await client.before(WITH_ANN, ids[3]!, 2))).toEqual(["m2", "m3"]);
    expect(said(await client.after(WITH_ANN, ids[0]!, 2))).toEqual(["m2", "m3"]);
    expect(await client.after(WITH_ANN, ids[4]!, 2)).toEqual([]);

    await archive.db.conversations.update(WITH_ANN, { whole: true });
    expect((await client.between(WITH_ANN, ids[0]!, null, 2)).beginning).toBe(true);
    expect((await client.between(WITH_ANN, ids[1]!, null, 2)).beginning).toBe(false);
    expect((await client.between("0-0-nobody", null, null, 2)).rows).toEqual([]);
  });
});
