/** Small pictures of pictures and videos: what messages carry to be seen before the file is there. */

const SIDE = 240;
const QUALITY = 0.7;
const PORTRAIT_SIDE = 320;
const MOST_BASE64 = 40_000;

/** Types that browsers and phones show. SVG is not among them: it is a document. */
export const isPicture = (file: Blob): boolean => /^image\/(png|jpeg|gif|webp|avif|bmp)$/.test(file.type);
export const isVideo = (file: Blob): boolean => /^video\/(mp4|webm|quicktime)$/.test(file.type);

function drawn(
  source: CanvasImageSource,
  width: number,
  height: number,
  side: number,
  square = false,
): HTMLCanvasElement {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d")!;
  if (square) {
    const edge = Math.min(width, height);
    canvas.width = canvas.height = Math.min(edge, side);
    context.drawImage(source, (width - edge) / 2, (height - edge) / 2, edge, edge, 0, 0, canvas.width, canvas.height);
  } else {
    const scale = Math.min(1, side / Math.max(width, height));
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    context.drawImage(source, 0, 0, canvas.width, canvas.height);
  }
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
    const made = base64(drawn(bitmap, bitmap.width, bitmap.height, SIDE));
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

/** The middle of a picture, square, for a portrait. Throws where it is no picture. */
export async function portrait(file: Blob): Promise<Blob> {
  const bitmap = await createImageBitmap(file);
  const canvas = drawn(bitmap, bitmap.width, bitmap.height, PORTRAIT_SIDE, true);
  bitmap.close();
  return new Promise((done, failed) =>
    canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("no picture"))), "image/jpeg", 0.85),
  );
}

/** The length in seconds and a small first picture of a video. */
export async function poster(file: Blob): Promise<{ seconds: number; thumbnail: string }> {
  const video = document.createElement("video");
  const url = URL.createObjectURL(file);
  try {
    video.muted = true;
    video.preload = "auto";
    video.src = url;
    await new Promise((done, failed) => {
      video.onloadeddata = done;
      video.onerror = () => failed(new Error("no video"));
    });
    const picture = base64(drawn(video, video.videoWidth, video.videoHeight, SIDE));
    return { seconds: Number.isFinite(video.duration) ? video.duration : 1, thumbnail: picture };
  } catch {
    return { seconds: 1, thumbnail: "" };
  } finally {
    URL.revokeObjectURL(url);
  }
}
