/** One call between two people: its states, its signals and its media (calls.md sections 9.1 and 9.2). */

import { base64ToUtf8 } from "./crypto";
import { Disconnected, Refused } from "./link";
import { type Content, Type, type WireMessage } from "./types";

const UNANSWERED_MS = 60_000;
/** Clients take no older signal for one of a call that goes on. */
export const CALL_MS = 90_000;

export type CallState = "outgoing" | "incoming" | "connecting" | "connected" | "ended";

export interface CallHooks {
  /** Send a message of the call to the peer. */
  send: (type: number, data: string) => Promise<void>;
  iceServers: () => Promise<RTCIceServer[]>;
  changed: () => void;
}

interface Signal {
  type?: unknown;
  sdp?: unknown;
  candidate?: unknown;
  id?: unknown;
  label?: unknown;
}

/** Camera and microphone cannot be used. */
export class NoMedia extends Error {
  override name = "NoMedia";
}

/** Old clients of iOS put the id elsewhere. */
export const callIdOf = (made: Content): string => made.content || made.searchableContent;

export const dataOf = (made: Content): unknown => {
  try {
    return JSON.parse(base64ToUtf8(made.binaryContent));
  } catch {
    return null;
  }
};

export class Call {
  local: MediaStream | null = null;
  remote: MediaStream | null = null;
  /** When it was connected, ms. */
  since = 0;
  muted = false;
  hidden = false;
  private connection: RTCPeerConnection | null = null;
  private readonly early: RTCIceCandidateInit[] = [];
  private work: Promise<void> = Promise.resolve();
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly id: string,
    readonly peer: string,
    public state: CallState,
    public audioOnly: boolean,
    private readonly hooks: CallHooks,
  ) {
    this.limit();
  }

  /** Ring at the peer. Throws NoMedia, Refused or Disconnected; then the call has ended. */
  async ring(): Promise<void> {
    try {
      await this.openMedia();
      if (!this.over) await this.hooks.send(Type.CALL_START, this.started());
    } catch (error) {
      this.end();
      throw error;
    }
    if (this.over) this.tell(Type.CALL_BYE, ""); // it was ended while it began to ring
  }

  /** Answer: whoever answers makes the offer. Throws as `ring`. */
  async answer(): Promise<void> {
    this.enter("connecting");
    try {
      await this.openMedia();
      await this.hooks.send(Type.CALL_ANSWER_AUDIO, this.audioOnly ? "1" : "0");
      const connection = await this.connect();
      if (!connection) return;
      await connection.setLocalDescription(await connection.createOffer());
      await this.signal({ type: "offer", sdp: connection.localDescription!.sdp });
    } catch (error) {
      this.hangUp();
      throw error;
    }
  }

  hangUp(): void {
    if (this.over) return;
    this.tell(Type.CALL_BYE, "");
    this.end();
  }

  /** End it here, without a word. */
  end(): void {
    if (this.over) return;
    this.connection?.close();
    for (const track of this.local?.getTracks() ?? []) track.stop();
    this.connection = this.local = this.remote = null;
    this.enter("ended");
  }

  /** A message of the peer with the id of this call. */
  hear({ content: made }: WireMessage): void {
    if (made.type === Type.CALL_BYE) return this.end();
    if (this.state === "incoming") {
      if (made.type === Type.CALL_SIGNAL) this.end(); // another device has answered
      return;
    }
    this.work = this.work.then(() => this.take(made)).catch(() => this.hangUp());
  }

  mute(on: boolean): void {
    this.muted = on;
    for (const track of this.local?.getAudioTracks() ?? []) track.enabled = !on;
    this.hooks.changed();
  }

  hide(on: boolean): void {
    this.hidden = on;
    for (const track of this.local?.getVideoTracks() ?? []) track.enabled = !on;
    this.hooks.changed();
  }

  private get over(): boolean {
    return this.state === "ended";
  }

  private enter(state: CallState): void {
    this.state = state;
    this.limit();
    if (state === "connected") this.since = Date.now();
    this.hooks.changed();
  }

  private limit(): void {
    const { state } = this;
    clearTimeout(this.timer);
    if (state === "incoming") this.timer = setTimeout(() => this.end(), UNANSWERED_MS);
    if (state === "outgoing" || state === "connecting") this.timer = setTimeout(() => this.hangUp(), UNANSWERED_MS);
  }

  private started(): string {
    return JSON.stringify({ t: this.peer, a: this.audioOnly ? 1 : 0 });
  }

  private async take(made: Content): Promise<void> {
    if (this.over) return;
    switch (made.type) {
      case Type.CALL_ANSWER:
      case Type.CALL_ANSWER_AUDIO:
        if (this.state !== "outgoing") return;
        if (dataOf(made) === 1) this.dropVideo();
        this.enter("connecting");
        await this.connect();
        return;
      case Type.CALL_MODIFY:
        if (dataOf(made) === 1) this.dropVideo();
        return;
      case Type.CALL_SIGNAL: {
        const said = dataOf(made);
        if (typeof said === "object" && said !== null) await this.takeSignal(said);
      }
    }
  }

  private async takeSignal(said: Signal): Promise<void> {
    const { connection } = this;
    if (!connection) return;
    if (said.type === "offer" && typeof said.sdp === "string") {
      await connection.setRemoteDescription({ type: "offer", sdp: said.sdp });
      await connection.setLocalDescription(await connection.createAnswer());
      await this.signal({ type: "answer", sdp: connection.localDescription!.sdp });
      await this.addEarly();
    } else if (said.type === "answer" && typeof said.sdp === "string") {
      await connection.setRemoteDescription({ type: "answer", sdp: said.sdp });
      await this.addEarly();
    } else if (said.type === "candidate" && typeof said.candidate === "string") {
      const { candidate, id, label } = said;
      this.early.push({
        candidate,
        sdpMid: typeof id === "string" ? id : null,
        sdpMLineIndex: typeof label === "number" ? label : null,
      });
      await this.addEarly();
    }
  }

  /** Candidates wait for the description that they belong to. One that the browser cannot use is left out. */
  private async addEarly(): Promise<void> {
    if (!this.connection?.remoteDescription) return;
    for (const one of this.early.splice(0)) await this.connection.addIceCandidate(one).catch(() => {});
  }

  private async openMedia(): Promise<void> {
    const open = (video: boolean) => navigator.mediaDevices.getUserMedia({ audio: true, video });
    try {
      this.local = await open(!this.audioOnly).catch(() => {
        this.audioOnly = true; // there may be no camera
        return open(false);
      });
    } catch {
      throw new NoMedia("no microphone");
    }
    if (this.over) {
      for (const track of this.local.getTracks()) track.stop();
      this.local = null;
    }
    this.hooks.changed();
  }

  private async connect(): Promise<RTCPeerConnection | null> {
    const iceServers = await this.hooks.iceServers();
    if (this.over || !this.local) return null;
    const connection = (this.connection = new RTCPeerConnection({ iceServers }));
    for (const track of this.local.getTracks()) connection.addTrack(track, this.local);
    connection.ontrack = ({ streams, track }) => {
      this.remote = streams[0] ?? new MediaStream([track]);
      this.hooks.changed();
    };
    connection.onicecandidate = ({ candidate }) => {
      if (!candidate || this.over) return;
      const { candidate: text, sdpMid, sdpMLineIndex } = candidate;
      void this.signal({ type: "candidate", label: sdpMLineIndex, id: sdpMid, candidate: text }).catch(() => {}); // others may do
    };
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "connected" && this.state === "connecting") this.enter("connected");
      if (connection.connectionState === "failed") this.hangUp();
    };
    return connection;
  }

  private dropVideo(): void {
    this.audioOnly = true;
    for (const track of this.local?.getVideoTracks() ?? []) {
      track.stop();
      this.local!.removeTrack(track);
    }
    this.hooks.changed();
  }

  private signal(said: object): Promise<void> {
    return this.hooks.send(Type.CALL_SIGNAL, JSON.stringify(said));
  }

  private tell(type: number, data: string): void {
    this.hooks.send(type, data).catch((error: unknown) => {
      if (!(error instanceof Disconnected || error instanceof Refused)) throw error; // the peer's time-out ends it there
    });
  }
}
