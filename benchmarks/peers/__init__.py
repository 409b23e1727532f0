"""What people would use instead of this library, each in a process of its own and in an environment of its own.

`python -m benchmarks.peers.<name> records` reads a pickled list of mappings, makes of them what the peer sends (its own
models), and says which versions it runs on. Then, for each line of standard input, which is an address below `.../arm/v1`, it sends all
records there and answers with the seconds of processor time that this took. `benchmarks.beside_others` asks.

`script` is another kind of peer: it sends a file, and is measured as a whole process by `benchmarks.tables`.
"""
