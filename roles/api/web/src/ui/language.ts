export type Language = "en" | "zh";

/** The language of the browser, where there are texts in it. */
export const language: Language = navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
document.documentElement.lang = language;
