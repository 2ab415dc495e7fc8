import { spawn } from 'node:child_process';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it, jest } from '@jest/globals';
import { processesWith, temporaryFolder } from './support/keyturn.js';

jest.setTimeout(180_000);

const DEMO = fileURLToPath(new URL('../../dist/src/demo.js', import.meta.url));

it('the demo tells its whole story, finds every step as told, and leaves no file and no process', async () => {
  const folder = await temporaryFolder();
  try {
    const { PATH = '' } = process.env;
    const child = spawn(process.execPath, [DEMO], { cwd: folder.path, env: { PATH } });
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (out += text));
    const code = await new Promise((resolve) => child.once('close', resolve));

    expect([code, out]).toEqual([0, expect.stringContaining('✓ All of it happened as told.')]);
    expect(out).not.toContain('✗');
    const chapters = [...out.matchAll(/^(\d+)\. /gm)].map(([, number]) => Number(number));
    expect(chapters).toEqual([1, 2, 3, 4, 5, 6]);
    // Each chapter looked at something itself, beside the status of every answer.
    for (const chapter of out.split(/^\d+\. /m).slice(1)) expect(chapter).toMatch(/^ {3}✓ /m);
    await expect(access(join(folder.path, '.keyturn-demo'))).rejects.toThrow('ENOENT');
    const cluster = /data in (\S+)/.exec(out)?.[1] ?? '';
    await expect(access(cluster)).rejects.toThrow('ENOENT');
    expect(await processesWith(cluster)).toEqual([]);
  } finally {
    await folder.remove();
  }
});
