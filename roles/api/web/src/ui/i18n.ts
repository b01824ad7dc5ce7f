import { createI18n } from "vue-i18n";
import en from "../locales/en.json";
import zh from "../locales/zh.json";
import { language, type Language } from "./language";

export { language, type Language };

export const i18n = createI18n({ legacy: false, locale: language, fallbackLocale: "en", messages: { en, zh } });
