/** Small pictures of pictures and videos: what messages carry to be seen before the file is there. */

const SIDE = 240;
const QUALITY = 0.7;
const PORTRAIT_SIDE = 320;
const MOST_BASE64 = 40_000;
/** A video that says nothing for so long gets no poster. */
const POSTER_MS = 10_000;
/** How long a frame is waited for after a seek: at the place where a video is, none comes. */
const FRAME_MS = 1000;
/** Beyond the end of any video, seconds. */
const FAR = 1e7;

/** Types that browsers and phones show. SVG is not among them: it is a document. */
export const isPicture = (file: Blob): boolean => /^image\/(png|jpeg|gif|webp|avif|bmp)$/.test(file.type);
export const isVideo = (file: Blob): boolean => /^video\/(mp4|webm|quicktime)$/.test(file.type);

function drawn(source: CanvasImageSource, width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  const scale = Math.min(1, SIDE / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d")!.drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

function base64(canvas: HTMLCanvasElement): string {
  const found = canvas.toDataURL("image/jpeg", QUALITY).split(",")[1] ?? "";
  return found.length <= MOST_BASE64 ? found : "";
}

/** A small JPEG of a picture, as base64; "" of what is no picture. */
export async function thumbnail(file: Blob): Promise<string> {
  try {
    const bitmap = await createImageBitmap(file);
    const made = base64(drawn(bitmap, bitmap.width, bitmap.height));
    bitmap.close();
    return made;
  } catch {
    return ""; // the browser cannot read it: others may
  }
}

/** A sign for a place, as a small JPEG in base64: this page shows no map. */
export function placeSign(): string {
  const canvas = document.createElement("canvas");
  canvas.width = 160;
  canvas.height = 100;
  const context = canvas.getContext("2d")!;
  context.fillStyle = "#dfe8d8";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.fillStyle = "#c02626";
  context.beginPath();
  context.arc(80, 42, 16, 0, 2 * Math.PI);
  context.moveTo(66, 50);
  context.lineTo(80, 80);
  context.lineTo(94, 50);
  context.fill();
  return base64(canvas);
}

/** A square part of a picture, in its own pixels. */
export interface Square {
  left: number;
  top: number;
  edge: number;
}

/** The part of a picture with this middle that is as large as `zoom` leaves it; it never leaves the picture. */
export function squareOf(width: number, height: number, zoom: number, x: number, y: number): Square {
  const edge = Math.min(width, height) / zoom;
  const within = (middle: number, size: number) => Math.min(Math.max(middle - edge / 2, 0), size - edge);
  return { left: within(x, width), top: within(y, height), edge };
}

/** A part of a picture, for a portrait. Throws where the browser makes no picture of it. */
export function portrait(source: CanvasImageSource, { left, top, edge }: Square): Promise<Blob> {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = Math.max(1, Math.min(PORTRAIT_SIDE, Math.round(edge)));
  canvas.getContext("2d")!.drawImage(source, left, top, edge, edge, 0, 0, canvas.width, canvas.height);
  return new Promise((done, failed) =>
    canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("no picture"))), "image/jpeg", 0.85),
  );
}

/** The length in seconds and a small picture of a video, not of its very beginning, which is often black. */
export async function poster(file: Blob): Promise<{ seconds: number; thumbnail: string }> {
  const video = document.createElement("video");
  const url = URL.createObjectURL(file);
  const goTo = async (seconds: number) => {
    const there = happens(video, "seeked");
    const drawable = new Promise((done) => video.requestVideoFrameCallback(done)); // it may come later than "seeked"
    video.currentTime = seconds;
    await there;
    await Promise.race([drawable, new Promise((done) => setTimeout(done, FRAME_MS))]);
  };
  try {
    video.muted = true;
    video.preload = "auto";
    const loaded = happens(video, "loadeddata");
    video.src = url;
    await loaded;
    if (!Number.isFinite(video.duration)) await goTo(FAR); // what a browser recorded says its length only at its end
    const seconds = Number.isFinite(video.duration) ? video.duration : 1;
    await goTo(Math.min(1, seconds / 2));
    return { seconds, thumbnail: base64(drawn(video, video.videoWidth, video.videoHeight)) };
  } catch {
    return { seconds: 1, thumbnail: "" }; // the browser cannot read it: others may
  } finally {
    video.removeAttribute("src");
    URL.revokeObjectURL(url);
  }
}

/** Wait for an event of a video. Throws when the video is broken, or nothing happens. */
function happens(video: HTMLVideoElement, what: string): Promise<void> {
  return new Promise((done, failed) => {
    const timer = setTimeout(() => failed(new Error(`no ${what}`)), POSTER_MS);
    const end = (act: () => void) => () => {
      clearTimeout(timer);
      act();
    };
    video.addEventListener(what, end(done), { once: true });
    video.addEventListener(
      "error",
      end(() => failed(new Error("no video"))),
      { once: true },
    );
  });
}
