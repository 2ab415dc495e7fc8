import { Command } from 'commander';
import { KeyEncryptionKeys } from '../keys/vault/key-encryption-keys.js';
import { print } from './output.js';

export const kekNewCommand = (): Command =>
  new Command('new')
    .description('print a new key-encryption key, as a line for KEK_FILE')
    .addHelpText('after', '\nExample:\n  (umask 077; keyturn kek new > /etc/keyturn/kek)')
    .action(() => print(KeyEncryptionKeys.newLine()));
