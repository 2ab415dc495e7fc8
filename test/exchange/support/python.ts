import { run } from './cli.js';

/** A Python that has PyJWT; undefined, and said so, where there is none. */
export async function pythonWithPyJwt(): Promise<string | undefined> {
  for (const python of ['python3', '/usr/bin/python3']) {
    const said = await run(python, ['-c', 'import jwt, cryptography']).catch(() => undefined);
    if (said?.code === 0) return python;
  }
  process.stderr.write('skipped: no python3 here has PyJWT and cryptography (apt-get install python3-jwt)\n');
  return undefined;
}
