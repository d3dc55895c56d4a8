"""Applications of inference and engine: folders, videos, export, scores, reports."""
