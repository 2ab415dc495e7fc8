import { expect, it } from '@jest/globals';
import { bodyForEyes, tokenForEyes } from './shortened.js';

const token = `${'h'.repeat(60)}.${'p'.repeat(300)}.${'s'.repeat(342)}`;

it('shows of a token no more than its beginning', () => {
  expect(tokenForEyes(token)).toBe('hhhhhhhhhhhh…');
});

it('shows no password and no whole token, however deep they lie', () => {
  const shown = bodyForEyes({ username: 'anna', password: 'four unrelated words', more: [{ refresh_token: token }] });

  expect(shown).toBe('{"username":"anna","password":"…","more":[{"refresh_token":"hhhhhhhhhhhh…"}]}');
});

it('shows a problem by its code and its sentence', () => {
  expect(
    bodyForEyes({ type: 'about:blank', title: 'Conflict', status: 409, code: 'x', detail: 'Why.', requestId: 'r' }),
  ).toBe('{"code":"x","detail":"Why."}');
});
