/** A text without the marks of Markdown, for one line: in the list of conversations, in notifications, where it is quoted. */

const CODE = /(`+)(?!`)(.+?)(?<!`)\1(?!`)/g;
const LINK = /(?<![!\\])\[([^[\]]*)\]\([^()\s]*\)/g;
const STRONG = /(\*\*|~~)(?=\S)(.+?)(?<=\S)\1/g;
const UNDERLINED = /(?<!\w)(__)(?=\S)(.+?)(?<=\S)\1(?!\w)/g;
const EMPHASIS = /(?<![\w*\\])([*_])(?=[^\s*_])(.+?)(?<=[^\s*_\\])\1(?![\w*])/g;
const BEGINS = /^ {0,3}(?:(?:>|[-*+]|\d{1,9}[.)]) +)+/gm;
const FENCE = /^ {0,3}(?:```|~~~).*$/gm;
const ESCAPED = /\\([!-/:-@[-`{-~])/g;
/** What the list of conversations can show, and more. A longer text is not searched. */
const MOST = 500;

/** Return what people would read. Only marks that the page itself shows as such go (see markdown.ts). */
export function withoutMarks(text: string): string {
  const kept: string[] = [];
  const aside = (_: string, __: string, code: string) => `\0${kept.push(code) - 1}\0`;
  return text
    .slice(0, MOST)
    .replaceAll("\0", "")
    .replace(FENCE, "")
    .replace(CODE, aside)
    .replace(BEGINS, "")
    .replace(LINK, "$1")
    .replace(STRONG, "$2")
    .replace(UNDERLINED, "$2")
    .replace(EMPHASIS, "$2")
    .replace(ESCAPED, "$1")
    .replace(/\0(\d+)\0/g, (_, at: string) => kept[Number(at)] ?? "")
    .trim();
}
