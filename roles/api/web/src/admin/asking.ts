import { defineStore } from "pinia";
import { shallowRef } from "vue";

export interface Field {
  name: string;
  label: string;
  type?: "text" | "password" | "area" | "select";
  value?: string;
  options?: { value: string; label: string }[];
  optional?: boolean;
}

/** One question: what will be done, what it needs, and the work itself, whose failure is shown in place. */
export interface Question {
  title: string;
  text: string;
  action: string;
  danger?: boolean;
  fields?: Field[];
  /** `tell` shows how far long work is. */
  work: (values: Record<string, string>, tell: (progress: string) => void) => Promise<unknown>;
}

/** The dialog of the page. Each thing that changes something asks here once. */
export const useAsking = defineStore("asking", () => {
  const question = shallowRef<Question | null>(null);
  let told: (done: boolean) => void = () => {};

  /** Ask, do it, and return whether it was done. */
  function ask(asked: Question): Promise<boolean> {
    question.value = asked;
    return new Promise((resolve) => (told = resolve));
  }

  function close(done: boolean): void {
    question.value = null;
    told(done);
  }
  return { question, ask, close };
});
