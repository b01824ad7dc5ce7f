/** A call in a group: who is in, and the connections by which they are seen and heard (calls.md sections 9.4 to 9.7). */

import { BaseCall, type CallState } from "./baseCall";
import { type CallEnd, dataOf, UNANSWERED_MS } from "./callSignal";
import { Refused } from "./link";
import { keyOf, Kind, Type, type WireMessage } from "./types";

/** How often is looked who speaks and who sends a picture. */
const LOOK_MS = 500;
/** The part of full loudness from which somebody speaks, and how long they still do after it. */
const LOUD = 0.02;
const SPEAKS_MS = 1500;
/** A picture that stands still for so long is taken away. */
const STILL_MS = 2000;
/** A camera that is turned off sends black for so long: what others last see is black. */
const BLACK_MS = 700;
/** Each receives the pictures of all others. */
const QUALITY = { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 20 } };
const AGAIN_MS = 1000;
/** A call that stops ringing before the server's time-out is over; later it may go on. */
const RANG_MS = UNANSWERED_MS - 5000;

/** One who is in the call. */
export interface Participant {
  uid: string;
  stream: MediaStream | null;
  speaks: boolean;
  /** Whether pictures come. */
  pictured: boolean;
}

export interface GroupCallHooks {
  send: (type: number, id: string, data: string, tos?: string[]) => Promise<unknown>;
  /** The call that this user started is there; not told where it went on already, and they came in. */
  begun: () => void;
  changed: () => void;
}

interface Signal {
  type?: unknown;
  name?: unknown;
  data?: unknown;
  sdpAnswer?: unknown;
  candidate?: unknown;
}

/** The connection by which one participant sends, or is received. */
class Line implements Participant {
  stream: MediaStream | null = null;
  speaks = false;
  pictured = false;
  private readonly early: RTCIceCandidateInit[] = [];
  private answered = false;
  private loudAt = 0;
  private frames = 0;
  private movedAt = 0;

  constructor(
    readonly uid: string,
    readonly connection: RTCPeerConnection,
  ) {}

  async accept(sdp: string): Promise<void> {
    if (this.connection.signalingState !== "have-local-offer") return; // that of an offer before
    await this.connection.setRemoteDescription({ type: "answer", sdp });
    this.answered = true;
    await this.add();
  }

  async candidate(one: RTCIceCandidateInit): Promise<void> {
    this.early.push(one);
    await this.add();
  }

  /** Look whether there is sound and a picture. Returns whether that has changed. */
  async look(now: number): Promise<boolean> {
    let frames = 0;
    for (const one of (await this.connection.getStats()).values() as Iterable<Record<string, unknown>>) {
      const { type, kind, audioLevel, framesDecoded } = one;
      if (type !== "inbound-rtp" && type !== "media-source") continue;
      if (kind === "audio" && typeof audioLevel === "number" && audioLevel > LOUD) this.loudAt = now;
      if (kind === "video" && typeof framesDecoded === "number") frames = framesDecoded;
    }
    if (frames > this.frames) this.movedAt = now;
    this.frames = frames;
    const speaks = now - this.loudAt < SPEAKS_MS;
    const pictured = now - this.movedAt < STILL_MS;
    const changed = speaks !== this.speaks || pictured !== this.pictured;
    this.speaks = speaks;
    this.pictured = pictured;
    return changed;
  }

  /** One that the browser cannot use is left out. */
  private async add(): Promise<void> {
    if (!this.answered) return;
    for (const one of this.early.splice(0)) await this.connection.addIceCandidate(one).catch(() => {});
  }
}

export class GroupCall extends BaseCall {
  /** Whether this user started it, and may end it for everybody. */
  readonly mine: boolean;
  private readonly lines = new Map<string, Line>();
  private work: Promise<void> = Promise.resolve();
  private readonly looking = setInterval(() => void this.look(), LOOK_MS);
  private readonly madeAt = Date.now();
  private away = false;

  constructor(
    id: string,
    readonly group: string,
    private readonly me: string,
    /** Whom it rings, or rang. */
    readonly invited: readonly string[],
    state: CallState,
    audioOnly: boolean,
    private readonly hooks: GroupCallHooks,
    mine = state === "outgoing",
  ) {
    super(id, keyOf({ kind: Kind.GROUP, target: group, line: 0 }), state, audioOnly, hooks.changed, QUALITY);
    this.mine = mine;
  }

  /** Who is in beside this user. */
  get others(): Participant[] {
    return [...this.lines.values()].filter((one) => one.uid !== this.me);
  }

  /** Whether this user is heard to speak. */
  get speaks(): boolean {
    return !this.own.muted && (this.lines.get(this.me)?.speaks ?? false);
  }

  /** Whom it still rings, as far as this browser knows. */
  get ringing(): string[] {
    if (!this.mine || Date.now() - this.madeAt > UNANSWERED_MS) return [];
    return this.invited.filter((uid) => !this.lines.has(uid));
  }

  async ring(): Promise<void> {
    const data = JSON.stringify({ t: this.group, a: this.audioOnly ? 1 : 0 });
    await this.enterRoom(() => this.hooks.send(Type.CALL_START, this.id, data, [...this.invited]));
  }

  /** Come in: also late, and after having left. */
  async answer(): Promise<void> {
    this.enter("connecting");
    await this.enterRoom(() => this.join());
  }

  hangUp(forAll = this.mine): void {
    if (this.over) return;
    const how = { incoming: "refused", outgoing: "cancelled" } as const;
    const alone = this.others.length === 0;
    if (forAll) void this.tell(this.hooks.send(Type.CALL_BYE, "", "", [...this.invited]));
    else this.leaveRoom();
    const after: CallEnd = forAll || alone ? "over" : "left";
    this.end(this.state in how ? how[this.state as keyof typeof how] : after);
  }

  /** The connection to the server is gone, and later there again: what was said meanwhile is not known. */
  reconnected(online: boolean): void {
    const entered = this.state === "outgoing" || this.state === "connected";
    if (!online) this.away = entered;
    else if (this.away && entered) {
      this.away = false;
      void this.tell(this.join().catch((error: unknown) => this.refused(error)));
    }
  }

  /** A message in the group: 402, or a 403 of the server. */
  hear({ content: made }: WireMessage): void {
    if (made.type === Type.CALL_BYE) return this.end(this.endedFor());
    if (this.state === "incoming" || made.type !== Type.CALL_SIGNAL) return;
    const said = dataOf(made);
    if (typeof said !== "object" || said === null) return;
    this.work = this.work.then(() => this.take(said)).catch(() => this.fail());
  }

  protected expire(): void {
    if (this.state === "incoming") this.end("missed");
    else if (this.state === "outgoing") {
      void this.tell(this.hooks.send(Type.CALL_BYE, "", "", [...this.invited]));
      this.end("unanswered");
    } else this.fail();
  }

  protected close(): void {
    clearInterval(this.looking);
    this.drop();
  }

  protected sendPicture(): void {
    const { picture, hidden, screen } = this.own;
    const sender = this.senderOfPicture();
    if (!sender || this.over) return;
    if (picture && (screen || !hidden)) return void this.replace(sender, picture);
    setTimeout(() => {
      const still = this.own.hidden && !this.own.screen;
      if (!this.over && (still || !this.own.picture)) void this.replace(sender, null);
    }, BLACK_MS);
  }

  private async replace(sender: RTCRtpSender, track: MediaStreamTrack | null): Promise<void> {
    if (sender.track !== track) await sender.replaceTrack(track).catch(() => {}); // the connection has ended
  }

  private senderOfPicture(): RTCRtpSender | undefined {
    const all = this.lines.get(this.me)?.connection.getTransceivers() ?? [];
    return all.find((one) => one.receiver.track.kind === "video")?.sender;
  }

  private endedFor(): CallEnd {
    if (this.state === "connected") return "over";
    if (this.state === "connecting") return "failed";
    if (this.state === "outgoing") return "unanswered";
    return Date.now() - this.madeAt < RANG_MS ? "closed" : "missed";
  }

  private async enterRoom(ask: () => Promise<unknown>): Promise<void> {
    try {
      await this.own.open(!this.audioOnly);
      if (!this.over) await ask();
    } catch (error) {
      this.end(error instanceof Refused ? "closed" : "failed");
      throw error;
    }
    if (this.over) this.leaveRoom(); // it was ended while it began
  }

  private join(): Promise<unknown> {
    return this.hooks.send(Type.CALL_ANSWER, this.id, "0");
  }

  private refused(error: unknown): void {
    if (!(error instanceof Refused)) throw error;
    this.end(this.since ? "over" : "unanswered");
  }

  private fail(): void {
    this.leaveRoom();
    this.end("failed");
  }

  private leaveRoom(): void {
    void this.tell(this.signal({ type: "leaveRoom" }));
  }

  private async take(said: Signal): Promise<void> {
    if (this.over) return;
    const { type, name } = said;
    if (type === "existingParticipants" && Array.isArray(said.data)) {
      const others = said.data.filter((one): one is string => typeof one === "string");
      this.drop();
      if (this.state === "outgoing" && !others.length) this.hooks.begun();
      if (others.length || this.state === "connecting") this.enter("connected");
      for (const uid of [this.me, ...others]) await this.offer(uid);
    } else if (typeof name !== "string") {
      return;
    } else if (type === "newParticipantArrived") {
      if (this.state === "outgoing") this.enter("connected");
      await this.offer(name);
    } else if (type === "participantLeft") {
      this.drop(name);
    } else if (type === "receiveVideoAnswer" && typeof said.sdpAnswer === "string") {
      await this.lines.get(name)?.accept(said.sdpAnswer);
    } else if (type === "iceCandidate" && typeof said.candidate === "object" && said.candidate !== null) {
      await this.lines.get(name)?.candidate(said.candidate);
    }
  }

  /** Connect: to send for the own uid, else to receive. What was there for this uid is replaced. */
  private async offer(uid: string): Promise<void> {
    this.drop(uid);
    const { stream } = this.own;
    if (this.over || !stream) return;
    const connection = new RTCPeerConnection();
    const line = new Line(uid, connection);
    this.lines.set(uid, line);
    if (uid === this.me) {
      const { picture, hidden, screen } = this.own;
      const shown = picture && (screen || !hidden) ? picture : "video";
      connection.addTransceiver(stream.getAudioTracks()[0]!, { direction: "sendonly", streams: [stream] });
      connection.addTransceiver(shown, { direction: "sendonly", streams: [stream] });
    } else {
      for (const kind of ["audio", "video"]) connection.addTransceiver(kind, { direction: "recvonly" });
      connection.ontrack = ({ streams, track }) => {
        line.stream = streams[0] ?? new MediaStream([track]);
        this.changed();
      };
    }
    connection.onicecandidate = ({ candidate }) => {
      if (!candidate || this.lines.get(uid) !== line) return;
      void this.tell(this.signal({ type: "onIceCandidate", candidate: candidate.toJSON(), name: uid }));
    };
    connection.onconnectionstatechange = () => {
      if (connection.connectionState !== "failed") return;
      setTimeout(() => {
        if (this.lines.get(uid) === line) this.work = this.work.then(() => this.offer(uid)).catch(() => this.fail());
      }, AGAIN_MS);
    };
    this.changed();
    await connection.setLocalDescription(await connection.createOffer());
    const { sdp } = connection.localDescription!;
    await this.tell(this.signal({ type: "receiveVideoFrom", sender: uid, sdpOffer: sdp }));
  }

  private drop(uid?: string): void {
    for (const line of [...this.lines.values()].filter((one) => uid === undefined || one.uid === uid)) {
      line.connection.onconnectionstatechange = line.connection.onicecandidate = null;
      line.connection.close();
      this.lines.delete(line.uid);
    }
    this.changed();
  }

  private async look(): Promise<void> {
    const now = Date.now();
    const looked = await Promise.all([...this.lines.values()].map((one) => one.look(now)));
    if (looked.includes(true) || this.state === "outgoing") this.changed();
  }

  private signal(said: object): Promise<unknown> {
    return this.hooks.send(Type.CALL_SIGNAL, "", JSON.stringify(said));
  }
}
