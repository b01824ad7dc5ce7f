import { createRouter, createWebHashHistory } from "vue-router";
import ChatsView from "./chat/ChatsView.vue";

export const router = createRouter({
  history: createWebHashHistory(),
  routes: [
    { path: "/", component: ChatsView },
    { path: "/c/:conv", component: ChatsView, props: true },
    { path: "/contacts/:uid?", component: () => import("./chat/ContactsView.vue"), props: true },
    { path: "/me", component: () => import("./chat/MeView.vue") },
    { path: "/:rest(.*)", redirect: "/" },
  ],
});
