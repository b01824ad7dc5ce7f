/** Friends, friend requests and settings: fetched whole or by version, and kept (contract.md section 7). */

import type { Database } from "./database";
import type { Link } from "./link";
import type { Friend, FriendRequest, Setting } from "./types";

type Ask = Pick<Link, "request">;

export async function syncFriends(link: Ask, db: Database): Promise<void> {
  const friends = await link.request<Friend[]>("FP", { version: "0" });
  await db.transaction("rw", db.friends, async () => {
    await db.friends.clear();
    await db.friends.bulkPut(friends);
  });
}

export async function syncRequests(link: Ask, db: Database): Promise<void> {
  const requests = await link.request<FriendRequest[]>("FRP", { version: "0" });
  await db.transaction("rw", db.requests, async () => {
    await db.requests.clear();
    await db.requests.bulkPut(requests);
  });
}

const SETTINGS = "settings";

export async function syncSettings(link: Ask, db: Database): Promise<void> {
  const entries = await link.request<Setting[]>("UG", { version: String(await db.number(SETTINGS)) });
  await db.transaction("rw", db.settings, db.meta, async () => {
    await db.settings.bulkPut(entries);
    const newest = Math.max(await db.number(SETTINGS), ...entries.map((one) => Number(one.updateDt)));
    await db.setNumber(SETTINGS, newest);
  });
}
