/** The sound of something new; one tab of the browser makes it. */

import { preferences } from "./preferences";

const EVERY_MS = 1500;
let sounded = 0;

export function chime(): void {
  if (!preferences.sound || preferences.quiet || Date.now() - sounded < EVERY_MS) return;
  sounded = Date.now();
  void navigator.locks.request("fsharechat-sound", { ifAvailable: true }, async (lock) => lock && (await sound()));
}

/** Two short tones. A page that was never touched may not sound: then it does not. */
async function sound(): Promise<void> {
  const audio = new AudioContext();
  const gain = audio.createGain();
  gain.gain.setValueAtTime(0.08, audio.currentTime);
  gain.gain.exponentialRampToValueAtTime(0.0001, audio.currentTime + 0.4);
  gain.connect(audio.destination);
  for (const [at, hertz] of [
    [0, 660],
    [0.12, 880],
  ] as const) {
    const tone = audio.createOscillator();
    tone.frequency.value = hertz;
    tone.connect(gain);
    tone.start(audio.currentTime + at);
    tone.stop(audio.currentTime + at + 0.25);
  }
  await new Promise((done) => setTimeout(done, 500));
  await audio.close();
}
