/** Dates as people read them, in the language of the page. */

import { language } from "../ui/i18n";

const DAY_MS = 86_400_000;
const locale = language === "zh" ? "zh-CN" : navigator.language;
const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(locale, { weekday: "short" });
const date = new Intl.DateTimeFormat(locale, { year: "numeric", month: "numeric", day: "numeric" });
const moment = new Intl.DateTimeFormat(locale, { dateStyle: "short", timeStyle: "short" });
const longDate = new Intl.DateTimeFormat(locale, { year: "numeric", month: "long", day: "numeric", weekday: "long" });

export const dayOf = (ms: number): number => new Date(ms).setHours(0, 0, 0, 0);
export const timeOf = (ms: number): string => clock.format(ms);
export const momentOf = (ms: number): string => moment.format(ms);
export const dateOf = (ms: number): string => longDate.format(ms);

/** A length of time as a clock shows it. */
export function lengthOf(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (count: number) => String(count).padStart(2, "0");
  const minutes = `${Math.floor(seconds / 60) % 60}`;
  const hours = Math.floor(seconds / 3600);
  return hours ? `${hours}:${two(Number(minutes))}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

export function shortly(ms: number): string {
  if (!ms) return "";
  const days = (dayOf(Date.now()) - dayOf(ms)) / DAY_MS;
  if (days < 1) return timeOf(ms);
  return days < 6 ? weekday.format(ms) : date.format(ms);
}

export function sizeOf(bytes: number): string {
  const units = ["B", "KB", "MB", "GB"];
  let at = 0;
  for (; bytes >= 1024 && at < units.length - 1; at++) bytes /= 1024;
  return `${bytes.toLocaleString(locale, { maximumFractionDigits: at ? 1 : 0 })} ${units[at]}`;
}
