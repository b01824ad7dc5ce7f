import { createI18n } from "vue-i18n";
import en from "../locales/en.json";
import zh from "../locales/zh.json";

export type Language = "en" | "zh";

export const language: Language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
document.documentElement.lang = language;

export const i18n = createI18n({ legacy: false, locale: language, fallbackLocale: "en", messages: { en, zh } });
