"""All questions, one table: `python -m benchmarks`. It takes some minutes."""

from . import bulk_send, compression, import_time, journal, memory
from .measure import show

if __name__ == "__main__":
    show([*bulk_send.measure(), *journal.measure(), *compression.measure(), *memory.measure(), *import_time.measure()])
