"""What the library costs, beside what people would write by hand. Each file asks one question; `python -m benchmarks` asks them all."""
