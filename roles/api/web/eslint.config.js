import prettier from "eslint-config-prettier";
import vue from "eslint-plugin-vue";
import ts from "typescript-eslint";

export default ts.config(
  { ignores: ["dist", "node_modules"] },
  ...ts.configs.recommended,
  ...vue.configs["flat/recommended"],
  { files: ["**/*.vue"], languageOptions: { parserOptions: { parser: ts.parser } } },
  {
    rules: {
      "vue/no-v-html": "error",
      "vue/multi-word-component-names": "off",
      "no-undef": "off",
      eqeqeq: "error",
      // Texts of others never become markup or code.
      "no-restricted-properties": [
        "error",
        { property: "innerHTML" },
        { property: "outerHTML" },
        { property: "insertAdjacentHTML" },
      ],
      "no-eval": "error",
      "no-new-func": "error",
    },
  },
  {
    // src/wire knows no Vue: it is the wire and the store, and is tested alone.
    files: ["src/wire/**"],
    rules: {
      "no-restricted-imports": ["error", { patterns: ["vue", "pinia", "vue-*", "../ui/*", "../chat/*", "../admin/*"] }],
    },
  },
  prettier,
);
