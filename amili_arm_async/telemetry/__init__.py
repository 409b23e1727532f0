"""Traces and metrics for OpenTelemetry: nothing of it is imported unless the program itself uses OpenTelemetry."""
