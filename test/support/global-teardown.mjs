export default async function globalTeardown() {
  await globalThis.keyturnTestServer?.stop();
}
