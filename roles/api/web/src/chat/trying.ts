import { ref } from "vue";
import { useI18n } from "vue-i18n";
import { NotStored } from "../wire/files";
import { Disconnected, Refused } from "../wire/link";

/** Does one thing at a time for a person, and says what went wrong. */
export function useTry() {
  const { t } = useI18n();
  const problem = ref("");
  const busy = ref(false);

  async function attempt(what: () => Promise<unknown>): Promise<void> {
    if (busy.value) return;
    busy.value = true;
    problem.value = "";
    try {
      await what();
    } catch (error) {
      if (error instanceof Refused) problem.value = t("refused");
      else if (error instanceof Disconnected) problem.value = t("unreachable");
      else if (error instanceof NotStored) problem.value = t("notStored");
      else throw error;
    } finally {
      busy.value = false;
    }
  }
  return { problem, busy, attempt };
}
