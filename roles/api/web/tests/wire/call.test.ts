import { afterEach, describe, expect, it, vi } from "vitest";
import type { CallState } from "../../src/wire/baseCall";
import { Call } from "../../src/wire/call";
import { callIdOf, dataOf, NoMedia } from "../../src/wire/callSignal";
import { utf8ToBase64 } from "../../src/wire/crypto";
import { content, Type } from "../../src/wire/types";
import { ANN, message } from "./kit";

function newCall(state: CallState) {
  const sent: [number, string][] = [];
  const call = new Call("id", ANN, state, false, {
    send: async (type, data) => void sent.push([type, data]),
    iceServers: async () => [],
    changed: () => {},
  });
  return { call, sent };
}
const said = (type: number, data = "") =>
  message(1, "", { content: content(type, { content: "id", binaryContent: utf8ToBase64(data) }) });

afterEach(() => void vi.unstubAllGlobals());

describe("a call", () => {
  it("rings no more, and says nothing, when the caller gives up or another device answers", () => {
    for (const type of [Type.CALL_BYE, Type.CALL_SIGNAL]) {
      const { call, sent } = newCall("incoming");
      call.hear(said(type, "{}"));
      expect(call.state).toBe("ended");
      expect(sent).toEqual([]);
    }
  });

  it("is refused by one goodbye", () => {
    const { call, sent } = newCall("incoming");
    call.hangUp();
    call.hangUp();
    expect(sent).toEqual([[Type.CALL_BYE, ""]]);
  });

  it("does not ring at the other side without a microphone", async () => {
    const getUserMedia = () => Promise.reject(new Error("none"));
    vi.stubGlobal("navigator", { mediaDevices: { getUserMedia } });
    const { call, sent } = newCall("outgoing");
    await expect(call.ring()).rejects.toThrow(NoMedia);
    expect(call.state).toBe("ended");
    expect(sent).toEqual([]);
  });

  it("has a voice only where there is no camera", async () => {
    const stream = { getTracks: () => [], getVideoTracks: () => [] };
    const getUserMedia = ({ video }: { video: boolean }) =>
      video ? Promise.reject(new Error("none")) : Promise.resolve(stream);
    vi.stubGlobal("navigator", { mediaDevices: { getUserMedia } });
    const { call, sent } = newCall("outgoing");
    await call.ring();
    expect(sent).toEqual([[Type.CALL_START, JSON.stringify({ t: ANN, a: 1 })]]);
    call.end("");
  });

  it("reads what old and hostile clients write", () => {
    expect(callIdOf(content(Type.CALL_START, { searchableContent: "old" }))).toBe("old");
    expect(dataOf(content(Type.CALL_START, { binaryContent: "%%" }))).toBeNull();
    expect(dataOf(content(Type.CALL_ANSWER, { binaryContent: utf8ToBase64("1") }))).toBe(1);
  });
});
