/** Texts with safe Markdown: a chunk of its own, fetched when the first such text is shown. */

import DOMPurify from "dompurify";
import MarkdownIt from "markdown-it";

const markdown = new MarkdownIt({ html: false, linkify: true, breaks: true, typographer: false }).disable([
  "image",
  "heading",
  "lheading",
  "table",
  "reference",
]);
markdown.linkify.set({ fuzzyLink: true, fuzzyEmail: false });

const ALLOWED_TAGS = ["p", "br", "em", "strong", "s", "code", "pre", "blockquote", "ul", "ol", "li", "a", "hr"];

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.nodeName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
});

/** Return what a text looks like: elements of a short list, and links to http, https and mailto alone. */
export function render(text: string): DocumentFragment {
  return DOMPurify.sanitize(markdown.render(text), {
    ALLOWED_TAGS,
    ALLOWED_ATTR: ["href", "start"],
    ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
    RETURN_DOM_FRAGMENT: true,
  });
}
