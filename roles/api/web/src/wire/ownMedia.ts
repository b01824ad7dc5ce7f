/** The microphone, the camera and the screen of this browser, as a call sends them. */

import { NoMedia } from "./callSignal";

const SCREEN: DisplayMediaStreamOptions = { video: { frameRate: { max: 15 } }, audio: false };

/** A browser of a phone can show no screen to others. */
export const canShare = (): boolean => "getDisplayMedia" in navigator.mediaDevices;

export class OwnMedia {
  /** Microphone and camera, null before they are open. */
  stream: MediaStream | null = null;
  /** What of the screen is shown to others. */
  screen: MediaStream | null = null;
  muted = false;
  hidden = false;
  private closed = false;

  constructor(
    private readonly changed: () => void,
    private readonly quality: MediaTrackConstraints = {},
  ) {}

  /** The picture that is sent: the screen, or else the camera. */
  get picture(): MediaStreamTrack | null {
    return (this.screen ?? this.stream)?.getVideoTracks()[0] ?? null;
  }

  get camera(): MediaStreamTrack | null {
    return this.stream?.getVideoTracks()[0] ?? null;
  }

  /** Open the microphone, and the camera if there is one. Throws NoMedia. */
  async open(video: boolean): Promise<void> {
    const ask = (camera: boolean) =>
      navigator.mediaDevices.getUserMedia({ audio: true, video: camera && this.quality });
    let stream: MediaStream;
    try {
      stream = video ? await ask(true).catch(() => ask(false)) : await ask(false);
    } catch {
      throw new NoMedia("no microphone");
    }
    if (this.closed) return stop(stream);
    this.stream = stream;
    this.changed();
  }

  /** Open the camera, where the call began without it. Throws NoMedia. */
  async addCamera(): Promise<void> {
    const found = await navigator.mediaDevices.getUserMedia({ video: this.quality }).catch(() => {
      throw new NoMedia("no camera");
    });
    if (this.closed || !this.stream || this.camera) return stop(found);
    for (const track of found.getVideoTracks()) this.stream.addTrack(track);
    this.hide(false);
  }

  dropCamera(): void {
    for (const track of this.stream?.getVideoTracks() ?? []) {
      track.stop();
      this.stream!.removeTrack(track);
    }
    this.changed();
  }

  mute(on: boolean): void {
    this.muted = on;
    for (const track of this.stream?.getAudioTracks() ?? []) track.enabled = !on;
    this.changed();
  }

  hide(on: boolean): void {
    this.hidden = on;
    for (const track of this.stream?.getVideoTracks() ?? []) track.enabled = !on;
    this.changed();
  }

  /** Show the screen, or a window that the person chooses; nothing happens if they choose none. */
  async share(): Promise<void> {
    const found = await navigator.mediaDevices.getDisplayMedia(SCREEN).catch(() => null);
    if (!found) return;
    if (this.closed || this.screen) return stop(found);
    this.screen = found;
    for (const track of found.getVideoTracks()) {
      track.contentHint = "detail";
      track.onended = () => this.unshare(); // by the browser's own button
    }
    this.changed();
  }

  unshare(): void {
    stop(this.screen);
    this.screen = null;
    this.changed();
  }

  close(): void {
    this.closed = true;
    stop(this.screen);
    stop(this.stream);
    this.screen = this.stream = null;
  }
}

function stop(stream: MediaStream | null): void {
  for (const track of stream?.getTracks() ?? []) {
    track.onended = null;
    track.stop();
  }
}
