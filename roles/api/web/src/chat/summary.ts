/** One line about a message: in the list of conversations, in notifications, in notices of groups. */

import { useI18n } from "vue-i18n";
import { base64ToUtf8 } from "../wire/crypto";
import type { MessageRow } from "../wire/database";
import { type Content, Member, Type } from "../wire/types";
import { withoutMarks } from "./marks";
import { usePeople } from "./people";
import { useSession } from "./session";
import { momentOf } from "./times";

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

  return ({ content, from }) => {
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
        return t("kind.call");
      default:
        return content.searchableContent || content.pushContent || t("kind.unknown");
    }
  };
}
