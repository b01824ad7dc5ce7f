import { describe, expect, it } from "vitest";
import { content, Mention, Type } from "../../src/wire/types";
import { message, newArchive, WITH_ANN } from "./kit";

describe("messages in the database", () => {
  it("are there once, and unread once, however often they come", async () => {
    const archive = newArchive();
    await archive.take([message(1, "a"), message(2, "b")], false);
    const fresh = await archive.take([message(2, "b"), message(3, "c")], false);
    expect(fresh.map((row) => row.content.searchableContent)).toEqual(["c"]);
    const conversation = await archive.db.conversations.get(WITH_ANN);
    expect(conversation).toMatchObject({ unread: 3, last: { content: { searchableContent: "c" } } });
    expect(await archive.db.messages.count()).toBe(3);
  });

  it("are in the order of their ids, which no number holds", async () => {
    const archive = newArchive();
    const ids = ["589110623535628325", "9007199254740993", "589110623535628324"];
    await archive.take(
      ids.map((id) => message(id, id)),
      false,
    );
    const rows = await archive.db.messages.where("[conv+id]").between([WITH_ANN, ""], [WITH_ANN, "\uffff"]).toArray();
    expect(rows.map((row) => row.content.searchableContent)).toEqual([ids[1], ids[2], ids[0]]);
  });

  it("are read when the user answers on another device", async () => {
    const archive = newArchive();
    await archive.take([message(1, "a")], false);
    await archive.take([message(2, "b", { from: "me", target: "ann" })], false);
    expect((await archive.db.conversations.get(WITH_ANN))?.unread).toBe(0);
  });

  it("take their row out of the outbox when they come back by the inbox", async () => {
    const archive = newArchive();
    const made = content(Type.TEXT, { searchableContent: "b" });
    await archive.db.outbox.add({
      conv: WITH_ANN,
      local: "77",
      timestamp: 0,
      content: made,
      tos: [],
      state: "waiting",
    });
    await archive.take([message(2, "b", { from: "me", target: "ann", localMessageId: "77" })], false);
    expect(await archive.db.outbox.count()).toBe(0);
  });

  it("lose their text when they are recalled, in the list too", async () => {
    const archive = newArchive();
    await archive.take([message(5, "secret")], false);
    await archive.recalled("5", "ann");
    expect(
      JSON.stringify([await archive.db.messages.toArray(), await archive.db.conversations.toArray()]),
    ).not.toContain("secret");
  });

  it("have the newest text that their sender gave them, in the list too", async () => {
    const archive = newArchive();
    await archive.take([message(5, "helo"), message(6, "gone")], false);
    await archive.recalled("6", "ann");
    await archive.edited([
      message(5, "hello", { editedDt: 20 }),
      message(6, "back", { editedDt: 20 }),
      message(7, "x"),
    ]);
    await archive.edited([message(5, "older", { editedDt: "10" })]);
    const rows = await archive.db.messages.toArray();
    expect(rows.map((row) => [row.content.searchableContent, row.edited])).toEqual([
      ["hello", 20],
      ["", 0],
    ]);
    await archive.take([message(8, "last")], false);
    await archive.edited([message(8, "the last", { editedDt: 30 })]);
    expect((await archive.db.conversations.get(WITH_ANN))?.last?.content.searchableContent).toBe("the last");
  });

  it("have the newest reactions of each user", async () => {
    const archive = newArchive();
    const said = (emoji: string[], updateDt: number) => ({ messageUid: "5", uid: "ann", emoji, updateDt });
    await archive.reacted(said(["👍"], 2));
    await archive.reacted(said(["👎"], 1));
    expect(await archive.db.reactions.toArray()).toMatchObject([{ uid: "ann", emoji: ["👍"], at: 2 }]);
    const [kept] = await archive.db.reactions.toArray();
    await archive.takeReactions([kept!.id], [{ messageUid: "5", uid: "ben", emoji: ["😂"], updateDt: "3" }]);
    expect(await archive.db.reactions.toArray()).toMatchObject([{ uid: "ben", emoji: ["😂"], at: 3 }]);
  });

  it("mention somebody in a group alone", async () => {
    const archive = newArchive();
    const made = content(Type.TEXT, {
      searchableContent: "@me",
      mentionedType: Mention.SOME,
      mentionedTargets: ["me"],
    });
    await archive.take([message(1, "", { content: made })], false);
    await archive.take([message(2, "", { content: made, conversationType: 1, target: "g" })], false);
    expect((await archive.db.conversations.get(WITH_ANN))?.mentioned).toBe(false);
    expect((await archive.db.conversations.get("1-0-g"))?.mentioned).toBe(true);
  });

  it("are not kept where the contract calls them transparent", async () => {
    const archive = newArchive();
    await archive.take([message(1, "", { content: content(Type.TYPING) })], false);
    expect(await archive.db.messages.count()).toBe(0);
  });

  it("are bounded: the oldest of long conversations go, and can be fetched again", async () => {
    const archive = newArchive();
    for (let id = 1; id <= 6; id++) await archive.take([message(id, `m${id}`)], false);
    await archive.take([message(7, "other", { from: "ben" })], false);
    await archive.db.conversations.update(WITH_ANN, { whole: true });
    await archive.prune(7, 2);
    expect(await archive.db.messages.count()).toBe(7);
    await archive.prune(6, 2);
    const left = (await archive.db.messages.toArray()).map((row) => row.content.searchableContent);
    expect(left).toEqual(["m5", "m6", "other"]);
    expect((await archive.db.conversations.get(WITH_ANN))?.whole).toBe(false);
  });
});
