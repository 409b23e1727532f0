"""Sends frames of Spark: customers, documents, whole nights, and streams. What Spark repeats is sent once: see docs/spark.md.

pyspark is the user's own: nothing here imports it before a frame is given.
"""

from __future__ import annotations

from .driver import FrameReport, read_report, send_frame, send_stream

__all__ = ["FrameReport", "read_report", "send_frame", "send_stream"]
