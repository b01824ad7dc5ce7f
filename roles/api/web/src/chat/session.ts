/** Who is logged in on this browser, and the connection of this tab. */

import { defineStore } from "pinia";
import { computed, shallowRef } from "vue";
import { language } from "../ui/language";
import { Client } from "../wire/client";
import { Database } from "../wire/database";
import type { Event, Status } from "../wire/engine";
import { finishCompany, forget, kept, LoginRefused, type Session, watch } from "../wire/login";
import type { Company, Landing } from "../wire/oidc";
import { Connection } from "../wire/tabs";

interface Configuration {
  ws: string;
  oidc?: Company;
}

interface Here {
  session: Session;
  client: Client;
  db: Database;
  connection: Connection;
}

/** The address of the connector: the server says it, or names a path of this page's own host. */
function connector(ws: string): string {
  if (!ws.startsWith("/")) return ws;
  return `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${ws}`;
}

export const useSession = defineStore("session", () => {
  const here = shallowRef<Here | null>(null);
  const status = shallowRef<Status>("offline");
  /** The session was ended by the server: the login says so. */
  const ended = shallowRef(false);
  const configuration = shallowRef<Configuration | null>(null);

  /** Why a login with a company account failed: a key of the texts, or the sentence of the server. */
  const refused = shallowRef<{ key?: string; text?: string } | null>(null);

  async function begin(landing: Landing): Promise<void> {
    watch(() => location.reload()); // another tab logged in or out
    const session = kept();
    if (session) return enter(session);
    if (landing === "done") await enterCompany();
    else if (landing) refused.value = { key: `login.company.${landing}` };
    await configure();
  }

  async function enterCompany(): Promise<void> {
    try {
      await enter(await finishCompany(language));
    } catch (error) {
      if (!(error instanceof LoginRefused)) throw error;
      refused.value = { text: error.message };
    }
  }

  async function configure(): Promise<Configuration> {
    return (configuration.value ??= (await (await fetch("/web.json")).json()) as Configuration);
  }

  async function enter(session: Session): Promise<void> {
    const { ws } = await configure();
    ended.value = false;
    refused.value = null;
    const db = new Database(session.userId);
    const connection = new Connection(session, db, connector(ws));
    const client = new Client(session.userId, db, connection);
    connection.on((event) => hear(event));
    here.value = { session, client, db, connection };
    connection.start();
  }

  function hear(event: Event): void {
    if (event.type === "groups") void here.value?.client.refreshGroups(event.ids).catch(() => {}); // shown as it was
    if (event.type !== "status") return;
    status.value = event.status;
    if (event.status === "ended") {
      void leave(false).then(() => (ended.value = true));
    }
  }

  /** Log out: nothing of the user stays in this browser. */
  async function leave(tell = true): Promise<void> {
    const it = here.value;
    if (!it) return;
    it.connection.stop(tell);
    here.value = null;
    status.value = "offline";
    forget();
    await it.db.delete();
  }

  const must = computed(() => {
    if (!here.value) throw new Error("nobody is logged in");
    return here.value;
  });

  return { here, must, status, ended, refused, configuration, begin, enter, leave };
});
