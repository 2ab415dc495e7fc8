/** Which random histories a run tells. It is printed, and KEYTURN_TEST_SEED brings them back. */
export const seed = Number(process.env['KEYTURN_TEST_SEED'] ?? Date.now() % 1_000_000);
process.stderr.write(`  KEYTURN_TEST_SEED=${seed}\n`);
