import { brotliCompressSync, gzipSync } from "node:zlib";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import VueI18nPlugin from "@intlify/unplugin-vue-i18n/vite";
import vue from "@vitejs/plugin-vue";
import { defineConfig, type Plugin } from "vite";

const SMALLEST = 1024;

/** Puts NAME.br and NAME.gz beside each text file: the server sends them as they are. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    writeBundle({ dir }) {
      for (const entry of readdirSync(dir!, { recursive: true, withFileTypes: true })) {
        if (!entry.isFile() || !/\.(js|css|html|svg|json|webmanifest)$/.test(entry.name)) continue;
        const file = join(entry.parentPath, entry.name);
        const data = readFileSync(file);
        if (data.length < SMALLEST) continue;
        writeFileSync(`${file}.br`, brotliCompressSync(data));
        writeFileSync(`${file}.gz`, gzipSync(data, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [vue(), VueI18nPlugin({ include: [join(import.meta.dirname, "src/**/locales/*.json")] }), compressed()],
  build: {
    target: "es2022",
    sourcemap: false,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 700, // the names of emoji, fetched when the picker opens
    rolldownOptions: { input: { index: "index.html", admin: "admin.html" }, checks: { pluginTimings: false } },
  },
  server: {
    proxy: Object.fromEntries(
      ["/admin/", "/login", "/oidc/", "/send_code", "/web.json", "/media"].map((path) => [
        path,
        process.env.SERVER ?? "http://127.0.0.1:8081",
      ]),
    ),
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node", setupFiles: ["fake-indexeddb/auto"] },
} as Parameters<typeof defineConfig>[0]);
