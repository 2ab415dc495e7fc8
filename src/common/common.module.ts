import { Global, Module } from '@nestjs/common';
import { Tally } from './tally.js';

/** What every room may ask for. */
@Global()
@Module({ providers: [Tally], exports: [Tally] })
export class CommonModule {}
