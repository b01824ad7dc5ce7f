/** What messages of calls say (calls.md section 9.1), and how calls end. It is small: calls themselves are loaded when there is one. */

import { base64ToUtf8 } from "./crypto";
import { type Content } from "./types";

/** Clients take no older signal for one of a call that goes on. */
export const CALL_MS = 90_000;
export const UNANSWERED_MS = 60_000;

/**
 * How a call ended for this browser: it was answered ("over", "left" where the others go on), or not: by a refusal, by
 * the caller's will, by nobody's answer ("unanswered" for who called, "missed" for who was called), on another device,
 * or since no connection came about. "closed": a group's call that is over, and whether this user was in is not known.
 */
export type CallEnd =
  "over" | "left" | "refused" | "cancelled" | "unanswered" | "missed" | "elsewhere" | "failed" | "closed";

/** What a browser keeps of a call, beside the message that started it. */
export interface CallOutcome {
  how: CallEnd;
  seconds: number;
}

/** Camera and microphone cannot be used. */
export class NoMedia extends Error {
  override name = "NoMedia";
}

/** Old clients of iOS put the id elsewhere. */
export const callIdOf = (made: Content): string => made.content || made.searchableContent;

export const dataOf = (made: Content): unknown => {
  try {
    return JSON.parse(base64ToUtf8(made.binaryContent));
  } catch {
    return null;
  }
};

/** Whether a start (400) asks for sound alone. */
export const isVoice = (made: Content): boolean => (dataOf(made) as { a?: unknown } | null)?.a === 1;
