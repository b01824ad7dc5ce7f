import { defineStore } from "pinia";
import { computed, ref } from "vue";
import { ApiError, ask, onEnded, type Role } from "./api";

const RANKS: Record<Role, number> = { read: 1, people: 2, all: 3 };

/** Who is logged in, and what that administrator may do. The server decides; buttons only follow. */
export const useSession = defineStore("session", () => {
  const name = ref("");
  const role = ref<Role>("read");
  const ready = ref(false);
  const lapsed = ref(false);

  async function look(): Promise<void> {
    try {
      const who = await ask<{ name: string; role: Role }>("GET", ["session"]);
      name.value = who.name;
      role.value = who.role;
    } catch (error) {
      if (!(error instanceof ApiError) || ![401, 403].includes(error.status)) throw error;
      name.value = "";
    } finally {
      ready.value = true;
    }
  }

  async function begin(wanted: string, password: string): Promise<void> {
    await ask("POST", ["session"], { body: { name: wanted, password } });
    lapsed.value = false;
    await look();
  }

  async function end(): Promise<void> {
    await ask("DELETE", ["session"]).catch(() => {});
    name.value = "";
  }

  onEnded(() => {
    lapsed.value = name.value !== "";
    name.value = "";
  });
  const may = computed(() => (least: Role) => RANKS[role.value] >= RANKS[least]);
  return { name, role, ready, lapsed, may, look, begin, end };
});
