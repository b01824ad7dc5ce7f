import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { utf8ToBase64 } from "../../src/wire/crypto";
import { GroupCall } from "../../src/wire/groupCall";
import { Refused } from "../../src/wire/link";
import { content, Type } from "../../src/wire/types";
import { ANN, ME, message, until } from "./kit";

const GROUP = "group";

/** Stands for the browser's: it keeps what it is told. */
class MadeUpConnection {
  signalingState = "stable";
  localDescription: { sdp: string } | null = null;
  readonly candidates: unknown[] = [];
  closed = false;
  static all: MadeUpConnection[] = [];

  constructor() {
    MadeUpConnection.all.push(this);
  }

  addTransceiver(): void {}
  getTransceivers(): unknown[] {
    return [];
  }
  async getStats(): Promise<Map<string, unknown>> {
    return new Map();
  }
  async createOffer(): Promise<object> {
    return {};
  }
  async setLocalDescription(): Promise<void> {
    this.signalingState = "have-local-offer";
    this.localDescription = { sdp: `offer ${MadeUpConnection.all.indexOf(this)}` };
  }
  async setRemoteDescription(): Promise<void> {
    this.signalingState = "stable";
  }
  async addIceCandidate(one: unknown): Promise<void> {
    this.candidates.push(one);
  }
  close(): void {
    this.closed = true;
  }
}

function newCall(state: "incoming" | "outgoing") {
  const sent: { type: number; id: string; data: string; tos?: string[] | undefined }[] = [];
  let refuses = false;
  let begun = 0;
  const call = new GroupCall("id", GROUP, ME, [ANN, "ben"], state, false, {
    send: async (type, id, data, tos) => {
      if (refuses) throw new Refused("no");
      sent.push({ type, id, data, tos });
    },
    begun: () => begun++,
    changed: () => {},
  });
  const offers = () =>
    sent
      .map(({ data }) => (data.includes("sdpOffer") ? (JSON.parse(data) as { sender: string }).sender : ""))
      .filter(Boolean);
  return { call, sent, offers, refuse: () => (refuses = true), begun: () => begun };
}

const said = (type: number, data: object | "" = "") =>
  message(1, "", {
    conversationType: 1,
    target: GROUP,
    content: content(type, { binaryContent: data && utf8ToBase64(JSON.stringify(data)) }),
  });
const signal = (data: object) => said(Type.CALL_SIGNAL, data);

beforeEach(() => {
  MadeUpConnection.all = [];
  const stream = { getTracks: () => [], getVideoTracks: () => [], getAudioTracks: () => [{}] };
  vi.stubGlobal("RTCPeerConnection", MadeUpConnection);
  vi.stubGlobal("navigator", { mediaDevices: { getUserMedia: async () => stream } });
});
afterEach(() => void vi.unstubAllGlobals());

describe("a call in a group", () => {
  it("rings those whom it names, sends when the room is there, and receives who comes", async () => {
    const { call, sent, offers, begun } = newCall("outgoing");
    await call.ring();
    expect(sent).toEqual([{ type: 400, id: "id", data: `{"t":"${GROUP}","a":0}`, tos: [ANN, "ben"] }]);
    expect(call.ringing).toEqual([ANN, "ben"]);
    call.hear(signal({ type: "existingParticipants", data: [] }));
    await until(() => offers().length === 1);
    expect([call.state, begun()]).toEqual(["outgoing", 1]);
    call.hear(signal({ type: "newParticipantArrived", name: ANN }));
    await until(() => offers().length === 2);
    expect(offers()).toEqual([ME, ANN]);
    expect([call.state, call.others.map((one) => one.uid), call.ringing]).toEqual(["connected", [ANN], ["ben"]]);
    call.hear(signal({ type: "participantLeft", name: ANN }));
    await until(() => call.others.length === 0);
    expect(MadeUpConnection.all[1]!.closed).toBe(true);
    call.hangUp();
    expect(sent.at(-1)).toEqual({ type: 402, id: "", data: "", tos: [ANN, "ben"] });
  });

  it("is joined where it goes on already, and is no call of its own then", async () => {
    const { call, offers, begun } = newCall("outgoing");
    await call.ring();
    call.hear(signal({ type: "existingParticipants", data: [ANN, 7] }));
    await until(() => offers().length === 2);
    expect([call.state, begun()]).toEqual(["connected", 0]);
    call.end("");
  });

  it("keeps candidates until the answer has come", async () => {
    const { call, offers } = newCall("incoming");
    await call.answer();
    call.hear(signal({ type: "existingParticipants", data: [] }));
    await until(() => offers().length === 1);
    const [own] = MadeUpConnection.all;
    call.hear(signal({ type: "iceCandidate", name: ME, candidate: { candidate: "early" } }));
    call.hear(signal({ type: "receiveVideoAnswer", name: ME, sdpAnswer: "v=0" }));
    await until(() => own!.candidates.length === 1);
    call.end("");
  });

  it("begins anew when the connection comes back, and ends where the call is over", async () => {
    const { call, sent, offers, refuse } = newCall("incoming");
    await call.answer();
    call.hear(signal({ type: "existingParticipants", data: [ANN] }));
    await until(() => offers().length === 2);
    call.reconnected(true); // another tab was opened
    expect(sent.filter(({ type }) => type === 401)).toHaveLength(1);
    call.reconnected(false);
    call.reconnected(true);
    expect(sent.filter(({ type }) => type === 401)).toHaveLength(2);
    call.hear(signal({ type: "existingParticipants", data: ["ben"] }));
    await until(() => offers().length === 4);
    expect(call.others.map((one) => one.uid)).toEqual(["ben"]);
    call.reconnected(false);
    refuse();
    call.reconnected(true);
    await until(() => call.over);
    expect(call.how).toBe("over");
  });

  it("is declined by leaving, and joined no more when it is refused", async () => {
    const first = newCall("incoming");
    first.call.hangUp();
    expect(first.sent.map(({ data }) => data)).toEqual(['{"type":"leaveRoom"}']);
    expect(first.call.how).toBe("refused");
    const second = newCall("incoming");
    second.refuse();
    await expect(second.call.answer()).rejects.toThrow(Refused);
    expect(second.call.how).toBe("closed");
  });

  it("takes nothing of what hostile servers say", async () => {
    const { call, offers } = newCall("incoming");
    await call.answer();
    for (const one of [
      { type: "existingParticipants", data: "x" },
      { type: "iceCandidate", name: 1 },
      [],
      { type: 3 },
    ]) {
      call.hear(signal(one));
    }
    call.hear(signal({ type: "existingParticipants", data: [] }));
    await until(() => offers().length === 1);
    expect(call.state).toBe("connected");
    call.hear(said(Type.CALL_BYE));
    expect(call.how).toBe("over");
  });
});
