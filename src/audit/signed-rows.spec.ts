import { beforeAll, describe, expect, it } from '@jest/globals';
import { CompactSign, exportJWK, generateKeyPair } from 'jose';
import { readCheckpoint } from './checkpoint.js';
import type { Misfit } from './fold-history.js';
import type { Facts } from './history-entry.js';
import { SignedRows, type StoredCheckpoint } from './signed-rows.js';

const LENGTH = 5;
const hashOf = (seq: number): string => String(seq).repeat(64);
const iat = Date.parse('2026-10-01T12:00:00Z') / 1_000;

let signers: Map<string, Facts>;
let signed: (seq: number, hash?: string) => Promise<StoredCheckpoint>;
beforeAll(async () => {
  const { privateKey, publicKey } = await generateKeyPair('ES256');
  const began = new Date((iat - 60) * 1_000).toISOString();
  signers = new Map([
    [
      '1-AAAAAAAA',
      {
        algorithm: 'ES256',
        signs: true,
        public_jwk: await exportJWK(publicKey),
        published_at: began,
        activates_at: began,
      },
    ],
  ]);
  signed = async (seq, hash = hashOf(seq)) => {
    const jws = await new CompactSign(Buffer.from(JSON.stringify({ seq, hash, iat })))
      .setProtectedHeader({ alg: 'ES256', kid: '1-AAAAAAAA', typ: 'keyturn-checkpoint+jwt' })
      .sign(privateKey);
    return { seq, hash, content: readCheckpoint(jws) };
  };
});

/** Holds checkpoints, in batches as they are read, against five rows. */
async function held(...batches: StoredCheckpoint[][]): Promise<{ seen: number; misfit: Misfit | undefined }> {
  const points = new SignedRows('the checkpoint', batches, signers);
  for (let seq = 1; seq <= LENGTH; seq += 1) await points.pass({ seq, hash: hashOf(seq) });
  await points.end();
  return { seen: points.seen, misfit: points.misfit };
}

describe('SignedRows', () => {
  it('fits where each was signed over its row, in however many batches they come', async () => {
    const batches = [[await signed(1)], [], [await signed(3), await signed(3)], [await signed(LENGTH)]];
    expect(await held(...batches)).toEqual({ seen: 4, misfit: undefined });
  });

  it('counts all of them, and names the first that does not fit', async () => {
    const batches = [
      [await signed(1), await signed(2, hashOf(9))],
      [await signed(4, hashOf(9)), await signed(5)],
    ];
    expect(await held(...batches)).toEqual({
      seen: 4,
      misfit: {
        seq: 2,
        problem: 'row 2 is not what the checkpoint was signed over: history was rewritten there or before',
      },
    });
  });

  it('names the row past the end', async () => {
    expect((await held([await signed(2)], [await signed(7)])).misfit).toEqual({
      seq: 7,
      problem: 'row 7 is missing, but the checkpoint was signed over it: the end was cut off',
    });
  });

  it('names a checkpoint that is none, or over another row than it is stored for', async () => {
    const none = { seq: 2, hash: hashOf(2), content: undefined };
    const elsewhere = { ...(await signed(3)), seq: 2 };
    const problem = 'the checkpoint over row 2 is none';
    expect((await held([none])).misfit).toEqual({ seq: 2, problem });
    expect((await held([elsewhere])).misfit).toEqual({ seq: 2, problem });
  });

  it('names the one that its key did not sign', async () => {
    const [four, two] = [await signed(4), await signed(2)].map(({ content }) => content?.jws.split('.') ?? []);
    const swapped = readCheckpoint([two?.[0], two?.[1], four?.[2]].join('.'));
    expect((await held([{ seq: 2, hash: hashOf(2), content: swapped }])).misfit).toEqual({
      seq: 2,
      problem: 'the checkpoint over row 2 cannot be believed: 1-AAAAAAAA did not sign it',
    });
  });
});
