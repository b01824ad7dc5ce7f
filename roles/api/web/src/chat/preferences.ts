/** What a person chose for this browser alone. */

import { reactive, watch } from "vue";

const KEY = "fsharechat.preferences";
const first = { notifications: false, sound: true, quiet: false };

export const preferences = reactive({ ...first, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as object) });

watch(preferences, () => localStorage.setItem(KEY, JSON.stringify(preferences)));
