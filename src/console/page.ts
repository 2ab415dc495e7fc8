/** Text that is safe between tags and inside quoted attributes. */
export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** HTML that was put together by {@link html}, so that plain text can never pass for it. */
export class Html {
  constructor(readonly text: string) {}
}

type Part = string | number | Html | readonly Html[] | undefined;

/** A template whose values are escaped unless they are HTML themselves. */
export function html(strings: TemplateStringsArray, ...values: readonly Part[]): Html {
  const parts = strings.map((text, index) => text + render(values[index]));
  return new Html(parts.join(''));
}

function render(value: Part): string {
  if (value === undefined) return '';
  if (value instanceof Html) return value.text;
  if (typeof value === 'object') return value.map((part) => part.text).join('');
  return escapeHtml(String(value));
}

/** A whole page. Works without script; its style comes from this site alone. */
export const page = (title: string, body: Html): string =>
  html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>${title} · Keyturn</title>
        <link rel="stylesheet" href="/console.css" />
      </head>
      <body>
        <main>
          <h1>${title}</h1>
          ${body}
        </main>
      </body>
    </html>`.text;

export const STYLE = `
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5b6675; --paper: #fbfaf7; --line: #d8d5cc; --turn: #2d6a4f; --bad: #a4243b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e1; --soft: #a3abb6; --paper: #14181d; --line: #333b45; --turn: #74c69d; --bad: #ff8fa3; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; }
main { max-width: 30rem; margin: 12vh auto 4rem; padding: 0 1.25rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; }
p, li { color: var(--soft); }
label { display: block; margin: 1rem 0 0.25rem; font-weight: 600; }
input { width: 100%; padding: 0.6rem 0.7rem; font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 0.4rem; }
button { margin-top: 1.25rem; padding: 0.6rem 1.2rem; font: inherit; font-weight: 600; color: var(--paper); background: var(--turn); border: 0; border-radius: 0.4rem; cursor: pointer; }
:focus-visible { outline: 3px solid var(--turn); outline-offset: 2px; }
a { color: var(--turn); }
.problem { color: var(--bad); border-left: 3px solid var(--bad); padding-left: 0.75rem; }
.hint { font-size: 0.9rem; margin: 0.25rem 0 0; }
code { font-size: 0.9em; }
`;
