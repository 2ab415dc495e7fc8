import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it, jest } from '@jest/globals';

jest.setTimeout(180_000);

it('the benchmark of refused logins tells of unknown, wrong and disabled', async () => {
  const script = fileURLToPath(new URL('../../bench/login-timing.mjs', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script, '3', '--print']);
  for (const group of ['unknown', 'wrong', 'disabled'])
    expect(stdout).toMatch(new RegExp(`^\\| ${group} (\\| [\\d.]+ ){5}\\|$`, 'm'));
  expect(stdout).toMatch(
    /^The medians lie [\d.]+ % apart; must-hold 28 allows 5\.0 %: (met|missed)\. By chance alone /m,
  );
});
