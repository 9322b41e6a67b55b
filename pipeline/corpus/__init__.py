"""Deduplication alone, of anybody's documents: files in, the same files out without the copies."""
