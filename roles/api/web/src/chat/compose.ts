/** What the composer of the open conversation is about to send, and what other parts of the page ask of it. */

import { defineStore } from "pinia";
import { ref, shallowRef } from "vue";
import type { MessageRow } from "../wire/database";
import { Type } from "../wire/types";
import { isPicture, isVideo, poster, thumbnail } from "./pictures";
import { useSession } from "./session";

export const useCompose = defineStore("compose", () => {
  const session = useSession();
  const quoted = shallowRef<MessageRow | null>(null);
  /** The own text that is being edited. */
  const edited = shallowRef<MessageRow | null>(null);
  const files = shallowRef<File[]>([]);
  /** What a search found: the list of messages shows it. */
  const wanted = shallowRef<MessageRow | null>(null);
  const details = ref(false);
  const progress = ref(new Map<string, number>());

  const add = (more: Iterable<File>) => (files.value = [...files.value, ...more]);
  const remove = (at: number) => (files.value = files.value.filter((_, other) => other !== at));

  async function sendFiles(conv: string): Promise<void> {
    const all = files.value;
    files.value = [];
    for (const file of all) {
      const { client } = session.must;
      if (isPicture(file)) {
        await client.sendFile(conv, { file, name: file.name, type: Type.IMAGE, thumbnail: await thumbnail(file) });
      } else if (isVideo(file)) {
        await client.sendFile(conv, { file, name: file.name, type: Type.VIDEO, ...(await poster(file)) });
      } else {
        await client.sendFile(conv, { file, name: file.name, type: Type.FILE });
      }
    }
  }

  return { quoted, edited, files, wanted, details, progress, add, remove, sendFiles };
});
