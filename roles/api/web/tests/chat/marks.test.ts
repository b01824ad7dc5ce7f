import { expect, test } from "vitest";
import { withoutMarks } from "../../src/chat/marks";

test.each([
  ["**hello** Ann", "hello Ann"],
  ["*a* _b_ __c__ ~~d~~ `e`", "a b c d e"],
  ["***both***", "both"],
  ["[the page](https://example.org/) is up", "the page is up"],
  ["> quoted\n- one\n2. two", "quoted\none\ntwo"],
  ["```js\nlet a = 1;\n```", "let a = 1;"],
  ["`**not** strong`", "**not** strong"],
  ["2 * 3 * 4 = 24, snake_case_name, a ** b", "2 * 3 * 4 = 24, snake_case_name, a ** b"],
  ["\\*plain\\*", "*plain*"],
  ["https://example.org/a_b_c", "https://example.org/a_b_c"],
  ["# of people: 5", "# of people: 5"],
  ["", ""],
  ["**", "**"],
])("%j is read as %j", (text, read) => expect(withoutMarks(text)).toBe(read));

test("a text made to be slow is not", () => {
  for (const unit of ["*", "_", "`", "[", "**a", "> ", "~~a", "__a"]) {
    const began = performance.now();
    withoutMarks(unit.repeat(100_000));
    expect(performance.now() - began).toBeLessThan(1000);
  }
});
