/** What tells a person of something new: the title, a sound, a notification of the system. */

import { onBeforeUnmount, onMounted, watch } from "vue";
import { useI18n } from "vue-i18n";
import { useRouter } from "vue-router";
import { mentions } from "../wire/archive";
import type { MessageRow } from "../wire/database";
import { isCounted } from "../wire/types";
import { preferences } from "./preferences";
import { useChats } from "./chats";
import { chime } from "./chime";
import { usePeople } from "./people";
import { useSession } from "./session";
import { useSummary } from "./summary";

export function useNotices(): void {
  const { t } = useI18n();
  const router = useRouter();
  const session = useSession();
  const people = usePeople();
  const chats = useChats();
  const summary = useSummary();
  let off: (() => void) | undefined;

  watch(
    () => chats.unread,
    (unread) => (document.title = unread ? `(${unread}) ${t("name")}` : t("name")),
    { immediate: true },
  );

  function show(row: MessageRow): void {
    const notification = new Notification(people.title(row.conv), { body: summary(row), tag: row.conv });
    notification.onclick = () => {
      window.focus();
      void router.push(`/c/${encodeURIComponent(row.conv)}`);
      notification.close();
    };
  }

  onMounted(() => {
    const { connection, session: mine } = session.must;
    off = connection.on((event) => {
      if (event.type !== "fresh") return;
      const news = event.rows.filter(
        (row) =>
          row.from !== mine.userId &&
          isCounted(row.content.type) &&
          (!people.isMuted(row.conv) || mentions(row, mine.userId)),
      );
      const last = news.at(-1);
      if (!last || preferences.quiet || document.hasFocus()) return;
      chime();
      // One tab is enough to tell of it.
      if (preferences.notifications && globalThis.Notification?.permission === "granted") show(last);
    });
  });
  onBeforeUnmount(() => off?.());
}
