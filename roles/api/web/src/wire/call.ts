/** One call between two people: its signals and its media (calls.md section 9.2). */

import { BaseCall, type CallState } from "./baseCall";
import { type CallEnd, dataOf } from "./callSignal";
import { keyOf, Kind, type Content, Type, type WireMessage } from "./types";

export interface CallHooks {
  /** Send a message of the call to the peer. */
  send: (type: number, data: string) => Promise<unknown>;
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

export class Call extends BaseCall {
  remote: MediaStream | null = null;
  private connection: RTCPeerConnection | null = null;
  private readonly early: RTCIceCandidateInit[] = [];
  private work: Promise<void> = Promise.resolve();

  constructor(
    id: string,
    readonly peer: string,
    state: CallState,
    audioOnly: boolean,
    private readonly hooks: CallHooks,
  ) {
    super(id, keyOf({ kind: Kind.PRIVATE, target: peer, line: 0 }), state, audioOnly, hooks.changed);
  }

  async ring(): Promise<void> {
    try {
      await this.openMedia();
      if (!this.over) await this.hooks.send(Type.CALL_START, this.started());
    } catch (error) {
      this.end("failed");
      throw error;
    }
    if (this.over) void this.tell(this.hooks.send(Type.CALL_BYE, "")); // it was ended while it began to ring
  }

  /** Whoever answers makes the offer. */
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
    const how = { incoming: "refused", outgoing: "cancelled", connected: "over" } as const;
    this.leave(this.state in how ? how[this.state as keyof typeof how] : "failed");
  }

  /** A message of the peer with the id of this call. */
  hear({ content: made }: WireMessage): void {
    const { state } = this;
    if (made.type === Type.CALL_BYE) {
      const how = { incoming: "missed", outgoing: "refused", connected: "over" } as const;
      return this.end(state in how ? how[state as keyof typeof how] : "failed");
    }
    if (state === "incoming") {
      if (made.type === Type.CALL_SIGNAL) this.end("elsewhere"); // another device has answered
      return;
    }
    this.work = this.work.then(() => this.take(made)).catch(() => this.hangUp());
  }

  protected expire(): void {
    if (this.state === "incoming") this.end("missed");
    else this.leave(this.state === "outgoing" ? "unanswered" : "failed");
  }

  protected close(): void {
    this.connection?.close();
    this.connection = this.remote = null;
  }

  protected sendPicture(): void {
    const sender = this.connection?.getSenders().find((one) => one.track?.kind === "video");
    if (sender && sender.track !== this.own.picture) void sender.replaceTrack(this.own.picture).catch(() => {}); // it has ended
  }

  private leave(how: CallEnd): void {
    if (this.over) return;
    void this.tell(this.hooks.send(Type.CALL_BYE, ""));
    this.end(how);
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
    await this.own.open(!this.audioOnly);
    if (!this.over && !this.own.camera) this.audioOnly = true;
    this.changed();
  }

  private async connect(): Promise<RTCPeerConnection | null> {
    const iceServers = await this.hooks.iceServers();
    const { stream } = this.own;
    if (this.over || !stream) return null;
    const connection = (this.connection = new RTCPeerConnection({ iceServers }));
    for (const track of stream.getTracks()) connection.addTrack(track, stream);
    connection.ontrack = ({ streams, track }) => {
      this.remote = streams[0] ?? new MediaStream([track]);
      this.changed();
    };
    connection.onicecandidate = ({ candidate }) => {
      if (!candidate || this.over) return;
      const { candidate: text, sdpMid, sdpMLineIndex } = candidate;
      void this.tell(this.signal({ type: "candidate", label: sdpMLineIndex, id: sdpMid, candidate: text }));
    };
    connection.onconnectionstatechange = () => {
      if (connection.connectionState === "connected" && this.state === "connecting") this.enter("connected");
      if (connection.connectionState === "failed") this.hangUp();
    };
    return connection;
  }

  private dropVideo(): void {
    this.audioOnly = true;
    this.own.unshare();
    this.own.dropCamera();
  }

  private signal(said: object): Promise<unknown> {
    return this.hooks.send(Type.CALL_SIGNAL, JSON.stringify(said));
  }
}
