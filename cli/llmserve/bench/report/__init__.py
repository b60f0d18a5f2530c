"""Runs as files for people and spreadsheets."""

from llmserve.bench.report.html import page
from llmserve.bench.report.tables import csv_text, markdown

__all__ = ["csv_text", "markdown", "page"]
