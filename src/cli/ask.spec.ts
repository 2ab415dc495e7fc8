import { PassThrough } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { readSecret } from './ask.js';

describe('a secret', () => {
  it('is asked for by name, and typed unseen', async () => {
    const input = Object.assign(new PassThrough(), { isTTY: true });
    const output = new PassThrough();
    const typed = readSecret('Passphrase of old-key.pem', undefined, { input, output });
    input.write('eight lanterns\r');

    expect(await typed).toBe('eight lanterns');
    expect(String(output.read())).toBe('Passphrase of old-key.pem: \n');
  });
});
