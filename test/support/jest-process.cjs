// What every process of Jest begins with. It runs with --no-opt: each spec loads a world of modules of its own and runs most of it once,
// so that to optimise it costs more than it gives, a tenth of a run.

// Jest calls a worker leaking that is not gone half a second after its end; to take the heap of so many modules down takes longer.
// Whatever still ran would keep it from coming here at all.
process.once('exit', () => process.exit());
