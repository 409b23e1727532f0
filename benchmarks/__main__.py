"""All questions, one table: `python -m benchmarks`. It takes a minute or two."""

from . import bulk_send, import_time, memory
from .measure import show

if __name__ == "__main__":
    show([*bulk_send.measure(), *memory.measure(), *import_time.measure()])
