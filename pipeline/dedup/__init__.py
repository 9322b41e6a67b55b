"""Deduplication on Ray: phases of tasks that hand each other rows through partition files."""
