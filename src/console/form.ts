import { ERROR_STATUS, KeyturnError, type ErrorCode, type FieldProblem } from '../common/errors.js';
import { html, type Html } from './page.js';

/** A Fastify reply, as far as a refused form needs it. */
export interface FormReply {
  status(code: number): unknown;
  header(name: string, value: string | number): unknown;
}

export interface Field {
  readonly name: string;
  readonly label: string;
  readonly type?: 'text' | 'password';
  readonly value?: string | undefined;
  /** What a password manager puts here (HTML Living Standard, autofill). */
  readonly autocomplete: 'username' | 'current-password' | 'new-password';
  readonly hint?: string;
  readonly readonly?: boolean;
}

/** A form that posts to `action`, what was wrong with it before everything else, each problem beside its field too. */
export const form = (
  action: string,
  button: string,
  fields: readonly Field[],
  hidden: Readonly<Record<string, string | undefined>> = {},
  problems: readonly FieldProblem[] = [],
): Html =>
  html`${problems.length === 0 ? undefined : summary(problems, fields)}
    <form method="post" action="${action}">
      ${Object.entries(hidden).map(([name, value]) =>
        value === undefined ? html`` : html`<input type="hidden" name="${name}" value="${value}" />`,
      )}
      ${fields.map((one) =>
        field(
          one,
          problems.filter((problem) => problem.field === one.name),
        ),
      )}
      <button>${button}</button>
    </form>`;

/** The first thing that is read out; its links lead to the fields. */
const summary = (problems: readonly FieldProblem[], fields: readonly Field[]): Html =>
  html`<div class="problems" role="alert" aria-labelledby="problems">
    <h2 id="problems">That did not work</h2>
    <ul>
      ${problems.map(
        ({ field: name, problem }) =>
          html`<li>
            <a href="#${name === '' ? (fields.find((one) => one.readonly !== true)?.name ?? '') : name}">${problem}</a>
          </li>`,
      )}
    </ul>
  </div>`;

function field(
  { name, label, type = 'text', value = '', autocomplete, hint, readonly }: Field,
  problems: readonly FieldProblem[],
): Html {
  const described = [
    ...(problems.length === 0 ? [] : [`${name}-problem`]),
    ...(hint === undefined ? [] : [`${name}-hint`]),
  ].join(' ');
  return html`<label for="${name}">${label}</label>
    <input
      id="${name}"
      name="${name}"
      type="${type}"
      value="${type === 'password' ? '' : value}"
      autocomplete="${autocomplete}"
      ${described === '' ? undefined : html`aria-describedby="${described}"`}
      maxlength="${type === 'password' ? 1_024 : 254}"
      ${type === 'text' ? html`autocapitalize="none" spellcheck="false"` : undefined}
      ${problems.length === 0 ? undefined : html`aria-invalid="true"`}
      ${readonly === true ? html`readonly` : html`required`}
    />
    ${
      problems.length === 0
        ? undefined
        : html`<p class="field-problem" id="${name}-problem">${problems.map(({ problem }) => problem).join(' ')}</p>`
    }
    ${hint === undefined ? undefined : html`<p class="hint" id="${name}-hint">${hint}</p>`}`;
}

export const NEW_PASSWORD_HINT = 'At least 15 characters; several unrelated words do well.';

/** Something that the person can mend. The form is shown once more, with the status that the same refusal has everywhere. */
export function problemsOf(thrown: unknown, mendable: readonly ErrorCode[], reply: FormReply): readonly FieldProblem[] {
  if (!(thrown instanceof KeyturnError) || !mendable.includes(thrown.code)) throw thrown;
  reply.status(ERROR_STATUS[thrown.code]);
  const { retryAfter, fields } = thrown.details;
  if (retryAfter !== undefined) reply.header('retry-after', retryAfter);
  return fields ?? [{ field: '', problem: thrown.message }];
}
