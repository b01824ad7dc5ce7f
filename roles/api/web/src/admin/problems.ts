import { useI18n } from "vue-i18n";
import { ApiError } from "./api";

const KNOWN = [0, 401, 403, 404, 409, 429, 503];

/** Return a function that says in words what went wrong; the server's own words come behind. */
export function useProblems(): (error: unknown) => string {
  const { t } = useI18n();
  return (error) => {
    if (!(error instanceof ApiError)) return String(error);
    const words = t(KNOWN.includes(error.status) ? `problem.${error.status}` : "problem.other");
    return error.message ? `${words} (${error.message})` : words;
  };
}
