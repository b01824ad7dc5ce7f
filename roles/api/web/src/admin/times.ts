import { language } from "../ui/language";

const FORMAT = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });

/** Return a time in ms as people write it, "–" if there is none. */
export function moment(ms: number | null): string {
  return ms === null ? "–" : FORMAT.format(ms);
}
