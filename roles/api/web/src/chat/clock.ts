import { onBeforeUnmount, type Ref, ref } from "vue";

const SECOND_MS = 1000;

/** The time, ms, for as long as a component is shown: it changes every second. */
export function useClock(): Readonly<Ref<number>> {
  const now = ref(Date.now());
  const tick = setInterval(() => (now.value = Date.now()), SECOND_MS);
  onBeforeUnmount(() => clearInterval(tick));
  return now;
}
