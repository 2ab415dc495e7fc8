import type { Problem } from '../common/http/problem.filter.js';
import { html, page } from './page.js';

const HEADINGS: Readonly<Record<number, string>> = {
  401: 'Log in first',
  403: 'Not allowed',
  404: 'Nothing here',
  429: 'Too many attempts',
  500: 'Something went wrong',
  503: 'Not at the moment',
};

/** What an error says to a person who waited for a page: the same as to a program, in HTML. */
export const problemPage = ({ status, title, code, detail, requestId }: Problem): string =>
  page(
    HEADINGS[status] ?? title,
    html`<p>${detail}</p>
      <p class="hint">Error <code>${code}</code>, request <code>${requestId}</code></p>
      <p class="row">
        <a href="${status === 401 ? '/login' : '/'}">${status === 401 ? 'Log in' : 'To the start'}</a>
      </p>`,
  );
