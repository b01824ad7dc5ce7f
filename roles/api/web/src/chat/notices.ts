/** What tells a person of something new: the title, a sound, a notification of the system. */

import { onBeforeUnmount, onMounted, watch } from "vue";
import { useI18n } from "vue-i18n";
import { useRouter } from "vue-router";
import { mentions } from "../wire/archive";
import type { MessageRow } from "../wire/database";
import { isCounted } from "../wire/types";
import { preferences } from "./preferences";
import { useChats } from "./chats";
import { usePeople } from "./people";
import { useSession } from "./session";
import { useSummary } from "./summary";

const SOUND_EVERY_MS = 1500;

export function useNotices(): void {
  const { t } = useI18n();
  const router = useRouter();
  const session = useSession();
  const people = usePeople();
  const chats = useChats();
  const summary = useSummary();
  let off: (() => void) | undefined;
  let sounded = 0;

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
      if (preferences.sound && Date.now() - sounded > SOUND_EVERY_MS) {
        sounded = Date.now();
        void navigator.locks.request(
          "fsharechat-sound",
          { ifAvailable: true },
          async (lock) => lock && (await chime()),
        );
      }
      // One tab is enough to tell of it.
      if (preferences.notifications && globalThis.Notification?.permission === "granted") show(last);
    });
  });
  onBeforeUnmount(() => off?.());
}

/** Two short tones. A page that was never touched may not sound: then it does not. */
async function chime(): Promise<void> {
  const audio = new AudioContext();
  const gain = audio.createGain();
  gain.gain.setValueAtTime(0.08, audio.currentTime);
  gain.gain.exponentialRampToValueAtTime(0.0001, audio.currentTime + 0.4);
  gain.connect(audio.destination);
  for (const [at, hertz] of [
    [0, 660],
    [0.12, 880],
  ] as const) {
    const tone = audio.createOscillator();
    tone.frequency.value = hertz;
    tone.connect(gain);
    tone.start(audio.currentTime + at);
    tone.stop(audio.currentTime + at + 0.25);
  }
  await new Promise((done) => setTimeout(done, 500));
  await audio.close();
}
