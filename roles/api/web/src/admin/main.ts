import { createPinia } from "pinia";
import { createApp } from "vue";
import { createI18n } from "vue-i18n";
import { createRouter, createWebHashHistory } from "vue-router";
import { language } from "../ui/language";
import AdminApp from "./AdminApp.vue";
import OverviewPage from "./OverviewPage.vue";
import en from "./locales/en.json";
import zh from "./locales/zh.json";
import "../ui/style.css";
import "./admin.css";

const i18n = createI18n({ legacy: false, locale: language, fallbackLocale: "en", messages: { en, zh } });
const router = createRouter({
  history: createWebHashHistory(),
  routes: [
    { path: "/", component: OverviewPage },
    { path: "/users", component: () => import("./UsersPage.vue") },
    { path: "/users/:uid", component: () => import("./UserPage.vue"), props: true },
    { path: "/invitations", component: () => import("./InvitationsPage.vue") },
    { path: "/groups", component: () => import("./GroupsPage.vue") },
    { path: "/groups/:id", component: () => import("./GroupPage.vue"), props: true },
    { path: "/words", component: () => import("./WordsPage.vue") },
    { path: "/robots", component: () => import("./RobotsPage.vue") },
    { path: "/bots", component: () => import("./BotsPage.vue") },
    { path: "/reports", component: () => import("./ReportsPage.vue") },
    { path: "/push", component: () => import("./PushPage.vue") },
    { path: "/accounts", component: () => import("./AccountsPage.vue") },
    { path: "/audit", component: () => import("./AuditPage.vue") },
    { path: "/settings", component: () => import("./SettingsPage.vue") },
    { path: "/:rest(.*)", redirect: "/" },
  ],
});
document.title = i18n.global.t("title");
createApp(AdminApp).use(createPinia()).use(i18n).use(router).mount("#app");
