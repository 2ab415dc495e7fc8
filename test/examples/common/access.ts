/** Stands beside the examples where `src/common` stands beside a feature in `src/`. */
export * from '../../../src/common/access.js';
