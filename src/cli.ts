#!/usr/bin/env node
import { keyturn } from './cli/program.js';

const code = await keyturn(process.argv.slice(2));
if (code !== undefined) process.exitCode = code;
