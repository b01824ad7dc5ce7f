/** Records a voice message, in a form that phones play where the browser can make it. */

const FORMS = [
  ["audio/mp4", "m4a"],
  ["audio/webm", "weba"],
  ["audio/ogg", "oga"],
] as const;
export const MOST_SECONDS = 60;

export interface Recorded {
  file: Blob;
  name: string;
  seconds: number;
}

export class Recorder {
  private readonly pieces: Blob[] = [];
  private readonly began = Date.now();
  private readonly recorder: MediaRecorder;

  private constructor(
    private readonly stream: MediaStream,
    private readonly form: (typeof FORMS)[number],
  ) {
    this.recorder = new MediaRecorder(stream, { mimeType: form[0] });
    this.recorder.ondataavailable = ({ data }) => this.pieces.push(data);
    this.recorder.start();
  }

  /** Begin. Throws where there is no microphone, or the person says no. */
  static async begin(): Promise<Recorder> {
    const form = FORMS.find(([type]) => MediaRecorder.isTypeSupported(type));
    if (!form) throw new Error("the browser records no sound");
    return new Recorder(await navigator.mediaDevices.getUserMedia({ audio: true }), form);
  }

  get seconds(): number {
    return (Date.now() - this.began) / 1000;
  }

  async end(): Promise<Recorded> {
    const { seconds } = this;
    await new Promise((done) => {
      this.recorder.onstop = done;
      this.recorder.stop();
    });
    this.free();
    const [type, ending] = this.form;
    return { file: new Blob(this.pieces, { type }), name: `voice.${ending}`, seconds };
  }

  free(): void {
    for (const track of this.stream.getTracks()) track.stop();
  }
}
