/** What calls between two people and in groups have in common: their states, their end, and what they send. */

import { type CallEnd, UNANSWERED_MS } from "./callSignal";
import { Disconnected, Refused } from "./link";
import { OwnMedia } from "./ownMedia";
import type { WireMessage } from "./types";

export type CallState = "outgoing" | "incoming" | "connecting" | "connected" | "ended";

export abstract class BaseCall {
  readonly own: OwnMedia;
  /** When it was connected, ms. */
  since = 0;
  /** How it ended; "": it has not, or another tab knows. */
  how: CallEnd | "" = "";
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly id: string,
    readonly conv: string,
    public state: CallState,
    public audioOnly: boolean,
    private readonly onChange: () => void,
    quality: MediaTrackConstraints = {},
  ) {
    this.own = new OwnMedia(() => {
      this.sendPicture();
      this.changed();
    }, quality);
    this.limit();
  }

  get seconds(): number {
    return this.since ? Math.floor((Date.now() - this.since) / 1000) : 0;
  }

  get over(): boolean {
    return this.state === "ended";
  }

  /** Begin to ring. Throws NoMedia, Refused or Disconnected; then the call has ended. */
  abstract ring(): Promise<void>;
  /** Answer. Throws as `ring`. */
  abstract answer(): Promise<void>;
  abstract hangUp(): void;
  /** A message of this call. */
  abstract hear(message: WireMessage): void;

  /** End it here, without a word. */
  end(how: CallEnd | ""): void {
    if (this.over) return;
    this.how = how;
    this.close();
    this.own.close();
    this.enter("ended");
  }

  /** Nobody answered in time, or no connection came about. */
  protected abstract expire(): void;
  protected abstract close(): void;
  /** Send the picture that there is now. */
  protected abstract sendPicture(): void;

  protected changed(): void {
    if (!this.over) this.onChange();
  }

  protected enter(state: CallState): void {
    this.state = state;
    this.limit();
    if (state === "connected") this.since ||= Date.now();
    this.onChange();
  }

  /** Say what nobody needs to wait for. */
  protected async tell(said: Promise<unknown>): Promise<void> {
    try {
      await said;
    } catch (error) {
      // The others' time-outs end it there.
      if (!(error instanceof Disconnected || error instanceof Refused)) throw error;
    }
  }

  private limit(): void {
    clearTimeout(this.timer);
    if (this.state === "connected" || this.over) return;
    this.timer = setTimeout(() => this.expire(), UNANSWERED_MS);
  }
}
