import { liveQuery, type Subscription } from "dexie";
import { onScopeDispose, shallowRef, type ShallowRef, watch, type WatchSource } from "vue";

/** What a query of the database finds, now and after each change by any tab; asked anew when `on` changes. */
export function useLive<T>(query: () => Promise<T> | T, first: T, on: WatchSource[] = []): Readonly<ShallowRef<T>> {
  const found = shallowRef(first) as ShallowRef<T>;
  let subscription: Subscription | null = null;
  const subscribe = () => {
    subscription?.unsubscribe();
    subscription = liveQuery(query).subscribe({
      next: (value) => (found.value = value),
      // The database was deleted at log-out: what is shown goes away at once.
      error: (error: Error) => error.name !== "DatabaseClosedError" && console.error(error),
    });
  };
  watch(on, subscribe, { immediate: true });
  onScopeDispose(() => subscription?.unsubscribe());
  return found;
}
