"""What a training takes, before it is begun: by formulae, and by the trainer's own code on fake ranks.

the formulae     shapes, memory, work, traffic, hardware; planned (the whole of a training), mends (what to change)
the code         dry_run, ledger (what it costs); compared (one beside the other)
as asked for     settings, text
"""
