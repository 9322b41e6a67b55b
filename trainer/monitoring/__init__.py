"""What is seen of a training.

Its modules, in an order in which they can be read:

measured     pace (speed, time left), flops (operations, MFU), stragglers (who is slowest), profiling
gathered     observer (a step's record), metrics (metrics.jsonl, the terminal's line)
handed on    sinks; scalars, tensorboard, wandb_log
drawn        report, report_charts
"""
