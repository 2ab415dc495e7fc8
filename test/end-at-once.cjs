// Jest calls a worker leaking that is not gone half a second after its end; to take the heap of so many modules down takes longer.
// Whatever still ran would keep it from coming here at all.
process.once('exit', () => process.exit());
