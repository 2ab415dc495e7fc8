import { createHash } from 'node:crypto';

/** A key, half turned. */
export const ICON = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#1f6048"/><g transform="rotate(-45 16 16)" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round"><circle cx="10.5" cy="16" r="4.2"/><path d="M14.7 16H26M22 16v3.6M26 16v3.6"/></g></svg>
`;

/** Contrast of text and of what surrounds fields: WCAG 2.2, 1.4.3 and 1.4.11, level AA, in both schemes. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --ink: #1b232d; --soft: #525d6b; --paper: #f4f2ed; --card: #fff; --line: #dcd8ce; --edge: #7f8790;
  --turn: #1f6048; --turn-ink: #fff; --turn-soft: #e6f0eb; --bad: #9a1b30; --bad-soft: #fbeaec;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e9e7e2; --soft: #a9b2bd; --paper: #12161b; --card: #1a2027; --line: #2d353f; --edge: #76818d;
    --turn: #7ccfa8; --turn-ink: #0d1f17; --turn-soft: #1b2f27; --bad: #ff9aab; --bad-soft: #35191f;
  }
}
* { box-sizing: border-box; }
body { margin: 0; padding: 0 1rem 4rem; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: break-word; }
header, main { max-width: 27rem; margin: 0 auto; }
header { padding: clamp(1.5rem, 9vh, 5rem) 0 1.25rem; }
header a { display: inline-flex; align-items: center; gap: 0.6rem; color: var(--ink); font-weight: 650; text-decoration: none; letter-spacing: 0.01em; }
main { padding: clamp(1.25rem, 6vw, 2.25rem); background: var(--card); border: 1px solid var(--line); border-radius: 0.9rem; }
h1 { margin: 0 0 0.75rem; font-size: 1.45rem; line-height: 1.25; font-weight: 650; }
h2 { margin: 2rem 0 0.5rem; font-size: 1.05rem; }
p { margin: 0 0 0.9rem; color: var(--soft); }
strong { color: var(--ink); }
a { color: var(--turn); text-underline-offset: 0.15em; }
code { font-size: 0.88em; }
label { display: block; margin: 1.15rem 0 0.3rem; font-weight: 600; }
input { width: 100%; min-height: 2.75rem; padding: 0.5rem 0.75rem; font: inherit; color: inherit; background: var(--card); border: 1px solid var(--edge); border-radius: 0.5rem; }
input[readonly] { background: var(--paper); }
input[aria-invalid] { border-color: var(--bad); border-width: 2px; }
button { width: 100%; min-height: 2.75rem; margin-top: 1.5rem; padding: 0.5rem 1.2rem; font: inherit; font-weight: 600; color: var(--turn-ink); background: var(--turn); border: 1px solid var(--turn); border-radius: 0.5rem; cursor: pointer; }
button:hover { filter: brightness(1.08); }
button.quiet { width: auto; min-height: 2.25rem; margin: 0; padding: 0.25rem 0.9rem; color: var(--turn); background: transparent; border-color: var(--edge); }
:focus-visible { outline: 3px solid var(--turn); outline-offset: 2px; }
.hint, .field-problem { margin: 0.35rem 0 0; font-size: 0.92rem; }
.field-problem { color: var(--bad); font-weight: 600; }
.problems, .notice { margin: 0 0 1.25rem; padding: 0.75rem 1rem; border-radius: 0.5rem; border-left: 4px solid; }
.problems { background: var(--bad-soft); border-color: var(--bad); }
.problems h2 { margin: 0 0 0.25rem; font-size: 1rem; }
.problems ul { margin: 0; padding-left: 1.1rem; }
.problems, .problems a { color: var(--bad); }
.notice { background: var(--turn-soft); border-color: var(--turn); color: var(--ink); }
.list { margin: 0; padding: 0; list-style: none; }
.list li { display: flex; flex-wrap: wrap; align-items: center; justify-content: space-between; gap: 0.5rem 1rem; padding: 0.8rem 0; border-top: 1px solid var(--line); }
.list p { margin: 0; font-size: 0.92rem; }
.list form { margin: 0; }
.tag { padding: 0.1rem 0.5rem; font-size: 0.85rem; color: var(--ink); background: var(--turn-soft); border-radius: 1rem; }
.row { display: flex; flex-wrap: wrap; gap: 0.75rem; margin-top: 1.5rem; }
@media (forced-colors: active) { button { border-color: ButtonText; } }
`;

/** A changed file has another address, so that each can be kept for good. */
const versioned = (path: string, content: string): string =>
  `${path}?v=${createHash('sha256').update(content).digest('base64url').slice(0, 8)}`;

export const STYLE_PATH = versioned('/console.css', STYLE);
export const ICON_PATH = versioned('/icon.svg', ICON);
