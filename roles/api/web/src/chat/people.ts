/** Names and pictures of users and groups, settings and friends: what the whole page shows of them. */

import { defineStore } from "pinia";
import { computed } from "vue";
import { addressOf, Kind, Scope } from "../wire/types";
import { useLive } from "./live";
import { useSession } from "./session";

export const usePeople = defineStore("people", () => {
  const session = useSession();
  const on = [() => session.here];
  const table = <T>(read: (db: NonNullable<typeof session.here>["db"]) => Promise<T[]>) =>
    useLive<T[]>(() => (session.here ? read(session.here.db) : []), [], on);

  const userRows = table((db) => db.users.toArray());
  const groupRows = table((db) => db.groups.toArray());
  const friendRows = table((db) => db.friends.toArray());
  const settingRows = table((db) => db.settings.toArray());
  const requestRows = table((db) => db.requests.toArray());

  const users = computed(() => new Map(userRows.value.map((one) => [one.uid, one])));
  const groups = computed(() => new Map(groupRows.value.map((one) => [one.target, one])));
  const friends = computed(() => new Map(friendRows.value.map((one) => [one.friendUid, one])));
  const settings = computed(() => new Map(settingRows.value.map((one) => [`${one.scope} ${one.key}`, one.value])));

  /** The name to show: one's own alias for a friend, the user's own in the group, or that of the profile. */
  function name(uid: string, inGroup = ""): string {
    const alias = friends.value.get(uid)?.alias || inGroup;
    if (alias) return alias;
    const user = users.value.get(uid);
    if (!user) session.here?.client.needUser(uid);
    return user?.displayName || user?.name || uid;
  }

  function portrait(uid: string): string {
    return users.value.get(uid)?.portrait ?? "";
  }

  function groupName(id: string): string {
    const group = groups.value.get(id);
    if (!group) session.here?.client.needGroup(id);
    return group?.name || id;
  }

  const title = (conv: string): string => {
    const { kind, target } = addressOf(conv);
    return kind === Kind.GROUP ? groupName(target) : name(target);
  };

  const picture = (conv: string): string => {
    const { kind, target } = addressOf(conv);
    return kind === Kind.GROUP ? (groups.value.get(target)?.portrait ?? "") : portrait(target);
  };

  const setting = (scope: number, key: string) => settings.value.get(`${scope} ${key}`) === "1";
  const isTop = (conv: string) => setting(Scope.TOP, conv);
  const isMuted = (conv: string) => setting(Scope.MUTED, conv) || setting(Scope.ALL_MUTED, "");

  return { users, groups, friends, requests: requestRows, name, portrait, groupName, title, picture, isTop, isMuted };
});
