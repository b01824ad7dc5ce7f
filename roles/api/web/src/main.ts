import { createPinia } from "pinia";
import { createApp } from "vue";
import App from "./App.vue";
import { i18n } from "./ui/i18n";
import { router } from "./router";
import "./ui/style.css";
import { landing } from "./wire/oidc";

createApp(App, { landing: landing(location.hash) })
  .use(createPinia())
  .use(i18n)
  .use(router)
  .mount("#app");
