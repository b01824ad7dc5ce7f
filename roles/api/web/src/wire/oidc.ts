/** Logins with a company account: the provider sends the browser back to this page, which finishes the login. */

export interface Company {
  /** What the button says. */
  label: string;
  /** Where a login begins. */
  url: string;
  /** Whether people may log in with codes as well. */
  codes: boolean;
}

const TROUBLES = ["away", "busy", "expired", "refused", "notLetIn", "wrong"] as const;
export type Trouble = (typeof TROUBLES)[number];
export type Landing = "done" | Trouble | null;

/**
 * Return how a login ended that brought the browser here, by the part of the address behind `#`; null if none did.
 * The router writes a `/` in front of it, and takes it away as no page of its own.
 */
export function landing(hash: string): Landing {
  const said = /^#\/?oidc=(\w+)$/.exec(hash)?.[1];
  if (said === undefined) return null;
  return said === "done" ? said : (TROUBLES.find((one) => one === said) ?? "wrong");
}
