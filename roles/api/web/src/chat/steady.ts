import { onBeforeUpdate, onMounted, onScopeDispose, onUpdated, type Ref } from "vue";

/**
 * Keep what is seen in a scrolled box in its place, while what is above it comes, goes or changes its size. Browsers do
 * so by themselves (`overflow-anchor`), but not all, and not at the top.
 *
 * `rows` holds the rows, one element each; those that match `movable` go where other rows come, and hold nothing.
 * `follow`: instead of that, what to do where the end is to stay in sight.
 */
export function useSteady(
  box: Ref<HTMLElement | undefined>,
  rows: Ref<HTMLElement | undefined>,
  movable: string,
  follow: () => boolean,
): { note: () => void } {
  /** The rows in sight, and where in the content they begin, px. */
  let seen: [Element, number][] = [];
  let offset = 0;

  /** Remember what is in sight. */
  function note(): void {
    const it = box.value!;
    const { top, bottom } = it.getBoundingClientRect();
    offset = it.scrollTop;
    seen = [];
    for (const row of rows.value!.children) {
      const place = row.getBoundingClientRect();
      if (place.top >= bottom) break;
      if (place.bottom > top && !row.matches(movable)) seen.push([row, place.top + offset]);
    }
  }

  /** Scroll by as much as the first row that is left of those in sight has moved. `from`: what was scrolled before. */
  function hold(from: number): void {
    const it = box.value!;
    if (!follow()) {
      const [row, began] = seen.find(([one]) => one.isConnected) ?? [];
      if (row) {
        const moved = row.getBoundingClientRect().top + it.scrollTop - began!;
        // A jump of the distance, not to a place: so a scroll that is on its way goes on.
        it.scrollBy({ top: from + moved - it.scrollTop, behavior: "instant" });
      }
    }
    note();
  }

  const resized = new ResizeObserver(() => hold(box.value!.scrollTop));
  onBeforeUpdate(note);
  // Where rows go, the browser may have had to scroll already.
  onUpdated(() => hold(offset));
  onMounted(() => {
    resized.observe(box.value!);
    resized.observe(rows.value!);
  });
  onScopeDispose(() => resized.disconnect());
  return { note };
}
