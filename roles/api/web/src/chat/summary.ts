/** One line about a message: in the list of conversations, in notifications, in notices of groups. */

import { useI18n } from "vue-i18n";
import { base64ToUtf8 } from "../wire/crypto";
import { isVoice } from "../wire/callSignal";
import type { MessageRow } from "../wire/database";
import { cardOf } from "../wire/places";
import { type Content, Member, Type } from "../wire/types";
import { withoutMarks } from "./marks";
import { usePeople } from "./people";
import { useSession } from "./session";
import { lengthOf, momentOf } from "./times";

interface GroupChange {
  g?: string;
  o?: string;
  n?: string;
  ms?: string[];
  /** The type that the members have now, and when their silence ends (a tip of GSM or GTG). */
  t?: number;
  u?: number;
}

const MOST_NAMES = 6;
const LATEST_MS = 8.64e15;
const ROLES: unknown[] = [Member.NORMAL, Member.MANAGER, Member.OWNER, Member.SILENCED];

function parsed(content: Content): GroupChange {
  try {
    const found: unknown = JSON.parse(base64ToUtf8(content.binaryContent));
    return typeof found === "object" && found !== null ? (found as GroupChange) : {};
  } catch {
    return {};
  }
}

const text = (value: unknown, otherwise: string): string => (typeof value === "string" ? value : otherwise);
const isTime = (ms: unknown): ms is number => typeof ms === "number" && ms > 0 && ms < LATEST_MS;

/** Types that are shown as a line in the middle, not as somebody's bubble. */
export const isNotice = (type: number): boolean => type >= Type.RECALLED && type < Type.CALL_START;

type Words = ReturnType<typeof useI18n>["t"];

/** A call, and what became of it. */
function called(t: Words, { content, call }: MessageRow, mine: boolean): string {
  const what = t(isVoice(content) ? "called.voice" : "called.video");
  if (!call) return what;
  const { how, seconds } = call;
  if (seconds) return t("called.lasted", { what, time: lengthOf(seconds * 1000) });
  return t(how === "refused" && !mine ? "called.refusedHere" : `called.${how}`, { what });
}

export function useSummary(): (row: MessageRow) => string {
  const { t } = useI18n();
  const people = usePeople();
  const session = useSession();
  const who = (uid: string) => (uid === session.here?.session.userId ? t("you") : people.name(uid));
  const names = (uids: unknown) => {
    const all = Array.isArray(uids) ? uids.map(String) : [];
    const shown = all.slice(0, MOST_NAMES).map(who).join(t("comma"));
    return all.length > MOST_NAMES ? t("andMore", { names: shown, count: all.length }) : shown;
  };

  return (row) => {
    const { content, from } = row;
    const told =
      content.type === Type.TIP || (content.type >= Type.GROUP_CREATED && content.type <= Type.GROUP_PORTRAIT);
    const change = told ? parsed(content) : {};
    const values = { who: who(text(change.o, from)), whom: names(change.ms), name: text(change.n, "") };
    switch (content.type) {
      case Type.TEXT:
        return withoutMarks(content.searchableContent);
      case Type.IMAGE:
        return t("kind.image");
      case Type.VOICE:
        return t("kind.voice");
      case Type.VIDEO:
        return t("kind.video");
      case Type.LOCATION:
        return t("kind.location", { name: content.searchableContent });
      case Type.CARD:
        return t("kind.card", { name: cardOf(content).name });
      case Type.STICKER:
        return t("kind.sticker");
      case Type.FILE:
        return t("kind.file", { name: content.searchableContent });
      case Type.RECALLED:
        return t("notice.recalled", { who: who(content.content || from) });
      case Type.TIP:
        if (!ROLES.includes(change.t)) return content.content;
        if (change.t === Member.SILENCED && isTime(change.u))
          return t("notice.silencedUntil", { ...values, when: momentOf(change.u) });
        return t(`notice.type${change.t}`, values);
      case Type.GROUP_CREATED:
        return t("notice.created", values);
      case Type.MEMBERS_ADDED:
        return t("notice.added", values);
      case Type.MEMBERS_KICKED:
        return t("notice.kicked", values);
      case Type.MEMBER_QUIT:
        return t("notice.quit", values);
      case Type.GROUP_DISMISSED:
        return t("notice.dismissed", values);
      case Type.GROUP_RENAMED:
        return t("notice.renamed", values);
      case Type.GROUP_PORTRAIT:
        return t("notice.portrait", values);
      case Type.CALL_START:
        return called(t, row, from === session.here?.session.userId);
      default:
        return content.searchableContent || content.pushContent || t("kind.unknown");
    }
  };
}
