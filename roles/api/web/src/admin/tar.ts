/** A tar file (POSIX ustar) made piece by piece: the browser may keep its pieces on the disk. */

const BLOCK = 512;
const MOST_NAME = 100;

const octal = (value: number, digits: number): string => `${value.toString(8).padStart(digits, "0")}\0`;

function header(name: string, size: number, at: number): Uint8Array<ArrayBuffer> {
  const block = new Uint8Array(BLOCK);
  const put = (text: string, offset: number) => block.set(new TextEncoder().encode(text), offset);
  put(name, 0);
  put(octal(0o600, 7), 100);
  put(octal(0, 7), 108);
  put(octal(0, 7), 116);
  put(octal(size, 11), 124);
  put(octal(Math.floor(at / 1000), 11), 136);
  put(" ".repeat(8), 148); // the sum counts its own field as spaces
  put("0", 156);
  put("ustar\0" + "00", 257);
  put(
    octal(
      block.reduce((sum, byte) => sum + byte, 0),
      6,
    ),
    148,
  );
  return block;
}

export class TarFile {
  private readonly pieces: BlobPart[] = [];

  /** Add a file. `name`: up to 100 characters of ASCII, with `/` between folders. `at`: ms. */
  add(name: string, content: Blob, at = Date.now()): void {
    if (!name || name.length > MOST_NAME || /[^ -~]/.test(name)) throw new Error(`no name in a tar file: ${name}`);
    this.pieces.push(header(name, content.size, at), content, new Uint8Array(-content.size & (BLOCK - 1)));
  }

  blob(): Blob {
    return new Blob([...this.pieces, new Uint8Array(2 * BLOCK)], { type: "application/x-tar" });
  }
}
